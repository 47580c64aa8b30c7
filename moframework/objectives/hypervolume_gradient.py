"""Hypervolume maximization: each loss weighs as much as the hypervolume grows when it falls."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from moframework.config import config, option
from moframework.objectives.base import Scalarization, wrong_length
from moframework.objectives.cosine_penalty import alignment
from moframework.objectives.rays import Direction
from moframework.pareto.indicators import hypervolume, nondominated

__all__ = ["HypervolumeGradient", "dominated_volume_gradient"]

Array = NDArray[np.float64]


@config
class HypervolumeGradient(Scalarization):
    """Ascent of the hypervolume of the r loss vectors of a step, less c times a cosine: hypervolume maximization (Deist
    et al., EMO 2021, arXiv 2102.04523) and PHN-HVI (Hoang et al., AAAI 2023, arXiv 2212.01130).

    `mean_j Σ_t w_jt L_jt − c cos(L_j, u_j)` with `w = −∂HV/∂L`, a constant to the gradient. As published, dominated
    vectors form fronts of their own, each with its own hypervolume; the weights of a vector have length 1; and a
    vector beyond the reference point pushes it out, to 1.1 times the largest loss. Without the cosine nothing ties a
    vector to its preference.

    Limits: reads the losses on the host in every step; for m > 3 tasks its time grows as r^(m−2).

    >>> losses = torch.tensor([[1.0, 2.0], [2.0, 1.0]])
    >>> objective = HypervolumeGradient(reference=(4, 4), normalize=False)
    >>> objective.weights(losses.double().numpy()).tolist()  # the area grows by so much when a loss falls by 1
    [[2.0, 1.0], [1.0, 2.0]]
    >>> float(objective(losses, torch.eye(2)))  # (2 · 1 + 1 · 2 + 1 · 2 + 2 · 1) / 2
    4.0
    """

    separable: ClassVar[bool] = False
    reference: tuple[float, ...] | None = option(
        None, help="reference point, a number a task or one for all; none: 1.1 times the largest losses of the step"
    )
    coefficient: float = option(
        0.0, ge=0, help="weight c of the cosine between losses and the preference's ray; PHN-HVI uses 5"
    )
    direction: Direction = option(
        "inverse",
        help="inverse: the ray is 1/λ, so that a larger λ_t means a smaller loss; preference: the ray is λ, as "
        "published, so that it means a larger one",
    )
    normalize: bool = option(True, help="give the weights of each loss vector length 1, as published")

    def faults(self, m: int, r: int) -> list[str]:
        """See `Objective.faults`."""
        return [] if len(self.reference or ()) == 1 else wrong_length("reference", self.reference, m)

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Scalarization.__call__`."""
        weights = torch.as_tensor(self.weights(losses.detach().double().cpu().numpy())).to(losses)
        value = (weights * losses).sum(dim=1).mean()
        if self.coefficient == 0:
            return value
        return value - self.coefficient * alignment(losses, preferences, self.direction)

    def weights(self, losses: Array) -> Array:
        """w (r, m), at least 0, for loss vectors (r, m); nan where a loss is not finite."""
        if not np.isfinite(losses).all():
            return np.full_like(losses, np.nan)
        worst = losses.max(axis=0)
        corner = worst + 0.1 * np.abs(worst)
        if self.reference is not None:
            corner = np.where(worst < self.reference, self.reference, corner)
        weights = np.zeros_like(losses)
        # Rows without a label of a task span a hypervolume of their own, in the losses that they have.
        for kept in np.unique(losses != 0, axis=0):
            left = np.flatnonzero(((losses != 0) == kept).all(axis=1))
            while kept.any() and len(left):
                front = left[nondominated(losses[np.ix_(left, kept)])]
                weights[np.ix_(front, kept)] = -dominated_volume_gradient(losses[np.ix_(front, kept)], corner[kept])
                left = np.setdiff1d(left, front)
        if self.normalize:
            lengths = np.linalg.norm(weights, axis=1, keepdims=True)
            weights /= np.where(lengths > 0, lengths, 1.0)
        return weights


def dominated_volume_gradient(losses: ArrayLike, reference: ArrayLike) -> Array:
    """The gradient of the hypervolume with respect to every loss, exact for any m (Emmerich and Deutz 2014).

    When loss t of point i falls, the dominated volume grows by a slab on the facet of i in direction t. The facet is
    what i dominates in the other m − 1 losses, less what points with a smaller loss t dominate there:

        ∂HV/∂L_it = −( Π_{s≠t} (z_s − L_is)  −  HV_{m−1}{ max(L_j, L_i) without t : L_jt < L_it } )

    For m = 2 that is the gap to the next better point, `−[min(z_2, min_{j: L_j1 < L_i1} L_j2) − L_i2]_+`.

    Where losses are equal the hypervolume has a kink; this is the derivative for point i falling alone, so each of
    several equal points has the full facet. Dominated points, and points not better than the reference in every task,
    have 0.

    Args:
        losses: (n, m), finite.
        reference: z (m,).

    Returns:
        (n, m), at most 0.

    >>> (0 - dominated_volume_gradient([[1, 2], [2, 1]], [4, 4])).tolist()
    [[2.0, 1.0], [1.0, 2.0]]
    """
    points = np.asarray(losses, dtype=np.float64)
    corner = np.asarray(reference, dtype=np.float64)
    n, m = points.shape
    gradient = np.zeros((n, m))
    inside = (points < corner).all(axis=1)
    for i in np.flatnonzero(inside):
        for t in range(m):
            others = np.arange(m) != t
            below = points[inside & (points[:, t] < points[i, t])][:, others]
            own, edge = points[i, others], corner[others]
            covering = np.maximum(below, own)
            gradient[i, t] = -max(0.0, float(np.prod(edge - own)) - _volume(covering, edge))
    return gradient


def _volume(points: Array, corner: Array) -> float:
    if len(points) == 0:
        return 0.0
    if points.shape[1] == 0:  # with one task the facet is a point, and any better point covers it
        return 1.0
    if points.shape[1] == 1:
        return float((corner - points).max())
    return hypervolume(points, corner)
