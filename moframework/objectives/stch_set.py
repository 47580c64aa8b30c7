"""Smooth Tchebycheff for a set of networks: for every task one of them is to be good."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.objectives.base import Scalarization, wrong_length
from moframework.objectives.presence import present
from moframework.objectives.tchebycheff import weighted_distances

__all__ = ["STCHSet"]


@config
class STCHSet(Scalarization):
    """Smooth Tchebycheff for a set, `μ log Σ_t exp(λ_t (S_t − z_t) / μ)` with `S_t = −μ log Σ_k exp(−L_kt / μ)`, the
    soft minimum of task t over the networks of a set (Lin et al., ICLR 2025, arXiv 2405.19650): few solutions that
    together serve many tasks.

    For `multipoint` with fewer networks than tasks, or as many. The set has one preference, the mean of those of its
    networks, which are else not looked at. A network that is best in no task is moved by the soft minimum alone: a μ
    that is small against the losses leaves it where it is.

    >>> losses, preferences = torch.tensor([[1.0, 9.0], [9.0, 1.0]]), torch.eye(2)
    >>> round(float(STCHSet(mu=0.1)(losses, preferences)), 4)  # each task's best is 1, at equal weights: ½ + 0.1 log 2
    0.5693
    """

    separable: ClassVar[bool] = False
    mu: float = option(0.1, gt=0, help="smoothing μ of maximum and minimum, in units of a loss; small is close to them")
    ideal: tuple[float, ...] | None = option(
        None, help="ideal point z, a number a task, at or below every loss that can be reached; none: zeros"
    )

    def faults(self, m: int, r: int) -> list[str]:
        """See `Objective.faults`."""
        return wrong_length("ideal", self.ideal, m)

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Scalarization.__call__`; networks that a batch has no label of a task for do not count in it."""
        known = present(losses)
        worst = torch.where(known, losses, torch.inf)
        least = -self.mu * (-worst / self.mu).logsumexp(dim=0)
        there = known.any(dim=0)
        least = torch.where(there, least, 0.0)
        distances = weighted_distances(least.unsqueeze(0), preferences.mean(dim=0, keepdim=True), self.ideal)
        return (self.mu * (distances / self.mu).logsumexp(dim=1)).mean()
