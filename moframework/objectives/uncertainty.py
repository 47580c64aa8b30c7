"""Uncertainty weighting: each task learns how noisy it is."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from moframework.config import config
from moframework.objectives.base import Scalarization
from moframework.objectives.presence import present

__all__ = ["Uncertainty"]


@config
class Uncertainty(Scalarization):
    """Losses over learned variances, `½ exp(−s_t) L_t + ½ s_t` with a log-variance s_t a task (Kendall, Gal, Cipolla,
    CVPR 2018).

    A preference multiplies a task's whole term, `mean_j Σ_t m λ_jt (…)`: the best s_t, log L_t, then does not depend on
    it, and equal preferences give the method itself. The s_t start at 0 and join the optimizer at its base rate. A
    batch without a label of a task says nothing of its s_t.

    >>> objective, losses, preferences = Uncertainty(), torch.tensor([[1.0, 3.0]]), torch.tensor([[0.5, 0.5]])
    >>> objective(losses, preferences, objective.build(m=2, r=1)).item()  # s = 0 at the start: ½ · 1 + ½ · 3
    2.0
    """

    def build(self, m: int, r: int) -> nn.Module:
        """The log-variances (r, m)."""
        return _LogVariances(r, m)

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Scalarization.__call__`."""
        s = cast(_LogVariances, state).log_variances
        terms = 0.5 * (-s).exp() * losses + 0.5 * s * present(losses)
        return (preferences * losses.shape[1] * terms).sum(dim=1).mean()


class _LogVariances(nn.Module):
    def __init__(self, r: int, m: int) -> None:
        super().__init__()
        self.log_variances = nn.Parameter(torch.zeros(r, m))
