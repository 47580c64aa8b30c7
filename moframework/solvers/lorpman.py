"""LORPMAN: low-rank Pareto manifold learning."""

from __future__ import annotations

from typing import Literal

from moframework.config import config, option
from moframework.engine.method import Start
from moframework.model.adapter_start import DEVIATION, adapter_start
from moframework.preferences.dirichlet import Dirichlet
from moframework.solvers.base import Solver
from moframework.weights import WeightSpaceConfig
from moframework.weights.adapted import Form
from moframework.weights.low_rank import LowRank

__all__ = ["LORPMAN"]


@config
class LORPMAN(Solver):
    """A main network plus orthogonal low-rank adapters, the main network frozen late (Chen and Kwok, ICML 2024).

    `θ(λ) = θ0 + s Σ_t λ_t B_t A_t`, trained on `Σ_t λ_t L_t` at preferences drawn from a Dirichlet distribution, with a
    penalty on adapters of one layer that are not orthogonal to each other; for the last part of the training only the
    adapters move.

    Source: arXiv 2407.20734. That text gives the late freezing at 80 % of the training and s in [0.1, 1]; the weight of
    the penalty, the rank and the learning rate of the adapters given here are ours. The paper penalizes three sampled
    tasks a step where there are more; here all pairs are, since inner products of low-rank matrices need only their
    factors. Limits: as of PaLoRA.

    With nine tenths of the training before the main network is frozen::

        solver: {name: lorpman, rank: 8, scale: 0.5, freeze_after: 0.9}
    """

    default_preferences = Dirichlet(concentration=1.0, per_batch=4)
    rank: int = option(4, ge=1, le=4096, help="rank r of each adapter")
    scale: float = option(1.0, gt=0, help="scale s of the adapters; the paper has values from 0.1 to 1")
    conv: Form = option("loralib", help="form of the adapters of convolutions")
    orthogonal: float = option(
        0.1, ge=0, help="weight of the penalty on adapters of one layer that are not orthogonal to each other"
    )
    freeze_after: float | None = option(
        0.8, gt=0, lt=1, help="share of the training after which the main network stays as it is; none: never"
    )
    adapter_lr_factor: float | None = option(
        None, gt=0, help="learning rate of the adapters over that of the main network; none means m"
    )
    adapter_init: Literal["lora", "nonzero"] = option(
        "lora",
        help="where adapters start: lora (B = 0, every preference is the network), or nonzero (B at random, the center "
        "is the network)",
    )
    adapter_init_std: float = option(
        DEVIATION, gt=0, help="standard deviation of the entries of B at the start; of adapter_init nonzero"
    )

    def weight_space(self, m: int) -> WeightSpaceConfig:
        """Adapters at scale s, orthogonal to each other, around a network that is frozen late."""
        return LowRank(
            rank=self.rank,
            alpha=self.scale * self.rank,
            conv=self.conv,
            lr_factor=self.adapter_lr_factor,
            freeze_after=self.freeze_after,
            orthogonal=self.orthogonal,
        )

    def model_start(self) -> Start | None:
        """Where adapters start other than at B = 0."""
        return adapter_start(self.adapter_init, self.adapter_init_std)
