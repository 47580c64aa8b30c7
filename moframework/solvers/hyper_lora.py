"""One low-rank adapter that a hypernetwork makes of the preference, after HyperPALoRA."""

from __future__ import annotations

from pathlib import Path

from moframework.config import config, option
from moframework.config.options import WIDEST
from moframework.objectives import Objective
from moframework.objectives.contrastive import Contrastive
from moframework.preferences.dirichlet import Dirichlet
from moframework.solvers.base import Solver
from moframework.weights import WeightSpaceConfig
from moframework.weights.adapted import Form
from moframework.weights.hyper_lora import HyperLoRA as HyperLoRAWeights

__all__ = ["HyperLoRA"]


@config
class HyperLoRA(Solver):
    """A shared trained network and a single low-rank adapter that a hypernetwork computes from λ.

    `W(λ) = W0 + (α/r) B(λ) A(λ)`, trained on `Σ_t λ_t L_t` and a contrastive term that keeps what the hypernetwork
    makes of near preferences alike and of distant ones apart.

    After HyperPALoRA (NeurIPS 2025 workshop, openreview VXlm0zf2a5), of which the abstract was read: no code is
    released, so sizes, starts, schedule and the weight of the term are ours, and none of its numbers are claimed.
    Limits: linear scalarization cannot reach a concave part of a front, whatever the weight space; for one
    `objective: {name: contrastive, inner: smooth_tchebycheff}`.

    With a scalarization that reaches concave fronts::

        solver: {name: hyper_lora, rank: 2, objective: {name: contrastive, inner: smooth_tchebycheff}}
    """

    default_preferences = Dirichlet(concentration=1.0, per_batch=4)
    rank: int = option(4, ge=1, le=4096, help="rank r of the adapter")
    alpha: float = option(1.0, gt=0, help="scale α of the adapter (it is multiplied by α/r)")
    hidden: tuple[int, ...] = option(
        (100, 100), ge=1, le=WIDEST, help="widths of the hidden layers on λ; the last is also the number of features"
    )
    chunk: int | None = option(
        None, ge=1, le=2**32, help="for large networks: numbers that one head for all layers computes at once"
    )
    conv: Form = option("loralib", help="form of the adapters of convolutions: loralib, peft or separable")
    objective: Objective = option(
        Contrastive(), help="how losses and a preference become one scalar, and the contrastive term around it"
    )
    initial: Path | None = option(None, help="network to start from: a .safetensors or .pt state dict, or a run folder")

    def weight_space(self, m: int) -> WeightSpaceConfig:
        """A shared network and the hypernetwork of its adapter."""
        return HyperLoRAWeights(rank=self.rank, alpha=self.alpha, hidden=self.hidden, chunk=self.chunk, conv=self.conv)
