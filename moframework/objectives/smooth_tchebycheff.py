"""Smooth Tchebycheff scalarization: a soft maximum of weighted losses."""

from __future__ import annotations

from torch import Tensor, nn

from moframework.config import config, option
from moframework.objectives.base import Scalarization, wrong_length
from moframework.objectives.tchebycheff import weighted_distances

__all__ = ["SmoothTchebycheff"]


@config
class SmoothTchebycheff(Scalarization):
    """Soft maximum of the weighted losses, `mean_j μ log Σ_t exp(λ_jt (L_jt − z_t) / μ)` (Lin et al., ICML 2024,
    arXiv 2402.19078).

    Within μ log m above `tchebycheff`, smooth, with gradients for all tasks. Reaches concave fronts when μ is small
    against the losses; a large μ makes it a sum of losses with equal weights, whatever λ is.

    >>> import torch
    >>> losses, preferences = torch.tensor([[1.0, 1.0]]), torch.tensor([[0.5, 0.5]])
    >>> round(float(SmoothTchebycheff(mu=0.1)(losses, preferences)), 4)  # ½ + 0.1 log 2
    0.5693
    """

    mu: float = option(0.1, gt=0, help="smoothing μ, in units of a weighted loss; small is close to the maximum")
    ideal: tuple[float, ...] | None = option(
        None, help="ideal point z, a number a task, at or below every loss that can be reached; none: zeros"
    )

    def faults(self, m: int, r: int) -> list[str]:
        """See `Objective.faults`."""
        return wrong_length("ideal", self.ideal, m)

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Scalarization.__call__`."""
        distances = weighted_distances(losses, preferences, self.ideal)
        return (self.mu * (distances / self.mu).logsumexp(dim=1)).mean()
