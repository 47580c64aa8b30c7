"""PaLoRA: Pareto Low-Rank Adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from moframework.config import config, option
from moframework.engine.method import Start
from moframework.errors import SpecError
from moframework.merging.adapters import fill_adapters
from moframework.merging.start import FromMembers
from moframework.model.adapter_start import DEVIATION, AdapterInit, adapter_start
from moframework.preferences.annealed import Annealed
from moframework.solvers.base import Solver
from moframework.weights import WeightSpaceConfig
from moframework.weights.adapted import Form
from moframework.weights.loha import LoHa
from moframework.weights.lokr import LoKr
from moframework.weights.low_rank import LowRank
from moframework.weights.mixed import Mixed

__all__ = ["PaLoRA"]


@config
class PaLoRA(Solver):
    """Pareto Low-Rank Adapters: a shared trained network plus one low-rank adapter per task, annealed preferences.

    Dimitriadis, Frossard, Fleuret: Pareto Low-Rank Adapters: Efficient Multi-Task Learning with Preferences, ICLR 2025.

    `W(λ) = W0 + (α/r) Σ_t λ_t B_t A_t`, trained on `Σ_t λ_t L_t` with preferences that open from the centre of the
    simplex to its vertices. With `initial` it expands the front around a trained multi-task network (Pareto front
    expansion), or goes on from adapters of PEFT, a folder for each task. `adapter: loha` or `lokr` takes other products
    for B_t A_t, as the authors' released code does by PEFT; `orthogonal` keeps the adapters of a layer apart, as their
    code can and LORPMAN does. `trained_at` lets adapters stand for other preferences than the vertices (after Bone
    Soup, arXiv 2502.10762).

    Source: arXiv 2407.08056, Eq. 2–4 and the released code; `adapter_init`: PiSSA (arXiv 2404.02948), and non-zero
    starts (arXiv 2505.23194). Limits: linear scalarization cannot reach a concave part of a front; at B = 0 every
    preference is the same network, so very short trainings give a narrow front.

    Adapters of higher rank and scale, for a wider front, at preferences that open more slowly::

        solver: {name: palora, rank: 8, alpha: 4, preferences: {name: annealed, temperature: 3}}
    """

    default_preferences = Annealed()
    rank: int = option(4, ge=1, le=4096, help="rank r of each adapter")
    alpha: float = option(
        1.0, gt=0, help="scale α of the adapters (they are multiplied by α/r); sets the width of the front"
    )
    adapter: Literal["lora", "loha", "lokr"] = option(
        "lora",
        help="what an adapter is: lora (B A), loha (two of them, entry by entry), or lokr (a Kronecker product)",
    )
    conv: Form = option("loralib", help="form of the adapters of convolutions: loralib, peft or separable; of lora")
    adapter_lr_factor: float | None = option(
        None, gt=0, help="learning rate of the adapters over that of the shared network; none means m, as published"
    )
    orthogonal: float = option(
        0.0, ge=0, help="weight of a penalty on adapters of one layer that are not orthogonal to each other; of lora"
    )
    adapter_init: AdapterInit = option(
        "lora",
        help="where adapters start: lora (B = 0, every preference is the network), pissa (each as the principal part "
        "of its weight, every preference is the network), or nonzero (B at random, the center is the network); of lora",
    )
    adapter_init_std: float = option(
        DEVIATION, gt=0, help="standard deviation of the entries of B at the start; of adapter_init nonzero"
    )
    members: Path | dict[str, Path] | None = option(
        None,
        help="networks of each task that started from `initial`, as of solver soup: the adapters start as what rank r "
        "holds of them",
    )
    trained_at: tuple[tuple[float, ...], ...] | None = option(
        None, help="the preference that each adapter stands for, m rows of m (Bone Soup); none: the vertices"
    )

    def weight_space(self, m: int) -> WeightSpaceConfig:
        """A shared network and an adapter a task."""
        made = self._adapters()
        return made if self.trained_at is None else Mixed(space=made, trained_at=self.trained_at)

    def _adapters(self) -> WeightSpaceConfig:
        if self.adapter == "lora":
            return LowRank(
                rank=self.rank,
                alpha=self.alpha,
                conv=self.conv,
                lr_factor=self.adapter_lr_factor,
                orthogonal=self.orthogonal,
            )
        of_lora = (
            ("conv", self.conv, "loralib"), ("orthogonal", self.orthogonal, 0.0), ("members", self.members, None),
            ("adapter_init", self.adapter_init, "lora"),
        )  # fmt: skip
        for key, given, default in of_lora:
            if given != default:
                raise SpecError(f"solver.{key}: is of adapter lora alone, but adapter is {self.adapter}; leave it out")
        made = LoHa if self.adapter == "loha" else LoKr
        return made(rank=self.rank, alpha=self.alpha, lr_factor=self.adapter_lr_factor)

    def model_start(self) -> Start | None:
        """The members, where they are given, or where else adapters start."""
        start = adapter_start(self.adapter_init, self.adapter_init_std)
        if start is not None and self.adapter_init == "pissa" and self.orthogonal:
            raise SpecError(
                "solver.orthogonal: keeps the adapters of a layer apart, which with adapter_init pissa start alike; "
                "leave one of them out"
            )
        if self.members is None:
            return start
        if start is not None:
            raise SpecError(
                f"solver.adapter_init: is {self.adapter_init}, but adapters start as what members have beyond their "
                "network; leave one of them out"
            )
        if self.initial is None:
            raise SpecError("solver.initial: adapters hold what members have beyond one network: name that network")
        return FromMembers(members=self.members, base=self.initial, into=fill_adapters)
