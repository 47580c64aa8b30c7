"""Pareto MTL: each of K networks is kept in its own sector of the loss space."""

from __future__ import annotations

from typing import ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from moframework.config import config, option
from moframework.objectives.base import Weighting
from moframework.objectives.gramian import min_norm_weights
from moframework.objectives.rays import Direction, rays

__all__ = ["ParetoMTL", "sector_weights"]

Array = NDArray[np.float64]


@config
class ParetoMTL(Weighting):
    """Pareto multi-task learning (Lin et al., NeurIPS 2019, arXiv 1912.12854).

    The rays u_j of the preferences of a step cut the loss space into sectors: row j is to keep `(u_k − u_j)·L_j ≤ 0`
    for all k. First each row descends its violated constraints, until it has been inside its sector once, or for
    `search_epochs`; from then on it takes the shortest convex combination of the gradients of losses and violated
    constraints, a direction that raises none of them.

    Made for a finite set of preferences that does not change. Within its sector a row ends anywhere on the front.
    Limits: a row that meets the front outside its sector stays there, so the search matters; keeps the gradients of all
    rows at once; reads Gramians on the host in every step.

    >>> losses, preferences = torch.tensor([[1.0, 3.0], [3.0, 1.0]]), torch.tensor([[0.75, 0.25], [0.25, 0.75]])
    >>> objective, gramians = ParetoMTL(), torch.eye(2).expand(2, 2, 2)
    >>> objective.weights(losses, preferences, gramians, objective.build(m=2, r=2))  # inside their sectors
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    >>> objective.weights(losses.flip(0), preferences, gramians, objective.build(m=2, r=2))  # back along u_k − u_j
    tensor([[ 0.6325, -0.6325],
            [-0.6325,  0.6325]])
    """

    separable: ClassVar[bool] = False
    direction: Direction = option(
        "inverse",
        help="inverse: the ray is 1/λ, so that a larger λ_t means a smaller loss; preference: the ray is λ, as "
        "published, so that it means a larger one",
    )
    search_epochs: int | None = option(
        None, ge=0, help="epochs that the search for a point in the sector may take, 2 as released; none: any number"
    )

    def faults(self, m: int, r: int) -> list[str]:
        """See `Objective.faults`."""
        return ["sectors lie between the preferences of a step: there must be at least 2"] if r < 2 else []

    def build(self, m: int, r: int) -> nn.Module:
        """What the search has come to."""
        return _Search(r)

    def epoch_ended(self, state: nn.Module | None) -> None:
        """Count the epochs of the search."""
        cast(_Search, state).epochs += 1

    def weights(self, losses: Tensor, preferences: Tensor, gramians: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Weighting.weights`; absolute values of a row sum to 1 once the search is over."""
        search = cast(_Search, state)
        values, matrices = losses.double().cpu().numpy(), gramians.double().cpu().numpy()
        units = rays(preferences, self.direction).double().cpu().numpy()
        over = self.search_epochs is not None and int(search.epochs) >= self.search_epochs
        found = np.full_like(values, np.nan)
        arrived = search.arrived.cpu().numpy() | over
        for j in range(len(values)):
            if np.isfinite(values[j]).all() and np.isfinite(matrices[j]).all():
                found[j], arrived[j] = _of_present(values[j], matrices[j], units - units[j], bool(arrived[j]))
        search.arrived.copy_(torch.as_tensor(arrived))
        return torch.as_tensor(found).to(losses)


class _Search(nn.Module):
    """Which rows have been inside their sector, and how many epochs have passed."""

    arrived: Tensor
    epochs: Tensor

    def __init__(self, r: int) -> None:
        super().__init__()
        self.register_buffer("arrived", torch.zeros(r, dtype=torch.bool))
        self.register_buffer("epochs", torch.zeros((), dtype=torch.int64))


def _of_present(losses: Array, gramian: Array, differences: Array, arrived: bool) -> tuple[Array, bool]:
    """`sector_weights` of the tasks that the batch has labels of, 0 for the others. Without all of them nobody knows
    whether the row is inside its sector."""
    kept = (losses != 0) | (gramian.diagonal() != 0)
    if kept.all() or not kept.any():
        return sector_weights(losses, gramian, differences, arrived) if kept.all() else (np.zeros_like(losses), arrived)
    weights = np.zeros_like(losses)
    weights[kept], _ = sector_weights(losses[kept], gramian[np.ix_(kept, kept)], differences[:, kept], arrived)
    return weights, arrived


def sector_weights(losses: Array, gramian: Array, differences: Array, arrived: bool = True) -> tuple[Array, bool]:
    """Weights of the losses for one step of Pareto MTL.

    Args:
        losses: L (m,).
        gramian: inner products of the tasks' gradients (m, m).
        differences: u_k − u (K, m), from the unit ray of this row to those of all.
        arrived: whether the row has been inside its sector; if not, only violated constraints are descended.

    Returns:
        weights (m,), and whether the row has been inside its sector now.

    >>> weights, arrived = sector_weights(np.array([3.0, 4.0]), np.eye(2), np.array([[0.0, 0.0], [0.6, -0.8]]))
    >>> weights.round(6).tolist(), arrived
    ([0.5, 0.5], True)
    """
    violated = differences @ (losses / max(float(np.linalg.norm(losses)), np.finfo(np.float64).tiny)) > 0
    if not violated.any():
        arrived = True
    rows = np.vstack([np.eye(len(losses)), differences[violated]]) if arrived else differences[violated]
    weights = min_norm_weights(rows @ gramian @ rows.T) @ rows
    return (weights / np.abs(weights).sum() if arrived else weights), bool(arrived)
