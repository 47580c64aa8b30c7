"""Penalty-based boundary intersection."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from moframework.config import config, option
from moframework.constants import constant
from moframework.objectives.base import Scalarization, wrong_length
from moframework.objectives.presence import present
from moframework.objectives.rays import Direction, rays

__all__ = ["PBI"]


@config
class PBI(Scalarization):
    """Distance along a ray plus θ times the distance to it (MOEA/D, Zhang and Li 2007).

    `d1 + θ d2` with `d1 = u·(L − z)` and `d2 = ‖L − z − d1 u‖`, u the unit ray of the preference. Reaches concave
    fronts when θ is large enough; a small θ may leave the ray, a large one slows the way along it.

    >>> losses, preferences = torch.tensor([[3.0, 1.0]]), torch.tensor([[0.5, 0.5]])
    >>> round(float(PBI(theta=5.0)(losses, preferences)), 4)  # 2 √2 along the ray, 5 times √2 from (2, 2) on it
    9.8995
    """

    theta: float = option(5.0, ge=0, help="weight θ of the distance to the ray")
    direction: Direction = option(
        "inverse",
        help="inverse: the ray is 1/λ, so that a larger λ_t means a smaller loss; preference: the ray is λ, as "
        "published, so that it means a larger one",
    )
    ideal: tuple[float, ...] | None = option(
        None, help="ideal point z, a number a task, where the rays start; none: zeros"
    )

    def faults(self, m: int, r: int) -> list[str]:
        """See `Objective.faults`."""
        return wrong_length("ideal", self.ideal, m)

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Scalarization.__call__`. On the ray itself the gradient of d2 is 0. A task without samples has no axis:
        ray and distances are those of the others."""
        known = present(losses)
        if self.ideal is not None:
            losses = losses - constant(self.ideal, losses.device, losses.dtype)
        ray = functional.normalize(rays(preferences, self.direction) * known, dim=1)
        losses = torch.where(known, losses, 0.0)
        along = (losses * ray).sum(dim=1)
        beside: Tensor = torch.linalg.vector_norm(losses - along.unsqueeze(1) * ray, dim=1)
        return (along + self.theta * beside).mean()
