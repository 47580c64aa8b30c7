"""Soup-of-Experts: a shared network and experts, mixed by a small network on the preference."""

from __future__ import annotations

from pathlib import Path

from moframework.config import config, option
from moframework.config.options import WIDEST
from moframework.preferences.dirichlet import Dirichlet
from moframework.solvers.base import Solver
from moframework.weights import WeightSpaceConfig
from moframework.weights.experts import Experts as ExpertsWeights

__all__ = ["Experts"]


@config
class Experts(Solver):
    """A shared network plus experts whose weights in the mixture an MLP computes from λ (Ablin et al., ICML 2025).

    `θ(λ) = θ0 + Σ_i a_i(λ) E_i`, trained on `Σ_t λ_t L_t` at preferences drawn from a Dirichlet distribution. There λ
    is a mixture of domains and a batch is drawn with it; `Σ_t λ_t L_t` with a task a domain is what such a batch's loss
    is on average, so a problem with a data set for each task (`data: {task: source}`) is that setting.

    Source: arXiv 2502.01804, of which the abstract was read; number of experts, sizes, starts and schedule are ours,
    and none of its numbers are claimed. Limits: as many networks more as there are experts; linear scalarization cannot
    reach a concave part of a front.

    With more experts than tasks, and one preference a batch::

        solver: {name: experts, count: 4, preferences: {name: dirichlet, per_batch: 1}}
    """

    default_preferences = Dirichlet(concentration=1.0, per_batch=4)
    count: int | None = option(None, ge=1, le=1024, help="number of experts; none: one for each task")
    hidden: tuple[int, ...] = option((100,), ge=1, le=WIDEST, help="widths of the hidden layers on λ")
    initial: Path | None = option(None, help="network to start from: a .safetensors or .pt state dict, or a run folder")

    def weight_space(self, m: int) -> WeightSpaceConfig:
        """A shared network and experts."""
        return ExpertsWeights(count=self.count, hidden=self.hidden)
