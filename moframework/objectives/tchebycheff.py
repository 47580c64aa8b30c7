"""Tchebycheff scalarization: the largest weighted loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.constants import constant
from moframework.objectives.base import Scalarization, wrong_length
from moframework.objectives.presence import present

__all__ = ["Tchebycheff", "weighted_distances"]


@config
class Tchebycheff(Scalarization):
    """Largest weighted loss, `mean_j max_t λ_jt (L_jt − z_t)` with an ideal point z (Bowman 1976).

    Every weakly Pareto optimal point is the optimum for some λ, on concave fronts too; at the optimum of an inner λ
    all λ_t (L_t − z_t) are equal. Only the largest term has a gradient, so training may go back and forth between
    tasks; `smooth_tchebycheff` does not. With an augmentation ρ the plain sum of losses, times ρ, is added (Steuer,
    Choo 1983): then what is only weakly Pareto optimal is no optimum, and every task has a gradient.

    >>> losses, preferences = torch.tensor([[1.0, 3.0]]), torch.tensor([[0.25, 0.75]])
    >>> float(Tchebycheff()(losses, preferences))  # the larger of ¼ · 1 and ¾ · 3
    2.25
    >>> float(Tchebycheff(ideal=(0, 2), augmentation=0.5)(losses, preferences))  # ¾ · (3 − 2) + ½ · (1 + 1)
    1.75
    """

    ideal: tuple[float, ...] | None = option(
        None, help="ideal point z, a number a task, at or below every loss that can be reached; none: zeros"
    )

    augmentation: float = option(0.0, ge=0, help="factor ρ of the sum of losses above z, which is added; 0: none")

    def faults(self, m: int, r: int) -> list[str]:
        """See `Objective.faults`."""
        return wrong_length("ideal", self.ideal, m)

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Scalarization.__call__`. Equal largest terms share the gradient."""
        largest = weighted_distances(losses, preferences, self.ideal).amax(dim=1)
        if self.augmentation:
            plain = weighted_distances(losses, torch.ones_like(preferences), self.ideal)
            largest = largest + self.augmentation * plain.masked_fill(plain.isneginf(), 0).sum(dim=1)
        return largest.mean()


def weighted_distances(losses: Tensor, preferences: Tensor, ideal: tuple[float, ...] | None) -> Tensor:
    """λ ⊙ (L − z), (r, m); an ideal point of None is zero. A task without samples, in a row with some of another task,
    is below all others: −∞."""
    known = present(losses)
    left_out = ~known & known.any(dim=1, keepdim=True)
    if ideal is not None:
        losses = losses - constant(ideal, losses.device, losses.dtype)
    return (preferences * losses).masked_fill(left_out, -torch.inf)
