"""Exact Pareto optimal search: the point of the front on the ray of the preference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.special import xlogy
from torch import Tensor, nn

from moframework.config import config, option
from moframework.errors import SpecError
from moframework.objectives.base import Weighting
from moframework.objectives.gramian import unit_scale
from moframework.objectives.host import solved_on_host

__all__ = ["EPO", "epo_weights"]

Array = NDArray[np.float64]

# Tasks of less preference than this are left out: on their ray the other losses would have to be a millionth.
_LEAST = 1e-6


@config
class EPO(Weighting):
    """Exact Pareto optimal search: the point of the front where all λ_t L_t are equal, on concave fronts too (Mahapatra
    and Rajan, ICML 2020, arXiv 2010.06313).

    While the λ_t L_t are uneven, a linear program picks the weights that even them out fastest without raising the
    largest; once they are even, those that descend fastest without leaving the ray. Where the ray misses the front,
    the losses end as even as the front allows. Tasks of preference 0 get weight 0,
    and so do those that a batch has no label of.

    Limits: losses must not be negative; reads losses and Gramians on the host in every step, where each preference
    costs a linear program of m unknowns.

    >>> import torch
    >>> losses, gramians = torch.tensor([[1.0, 3.0]]), torch.eye(2).unsqueeze(0)
    >>> EPO().weights(losses, torch.tensor([[0.5, 0.5]]), gramians)  # λ ⊙ L is uneven: down with the larger one
    tensor([[0., 1.]])
    >>> EPO().weights(losses, torch.tensor([[0.9, 0.1]]), gramians)  # the other way round
    tensor([[1., 0.]])
    """

    tolerance: float = option(
        1e-4, gt=0, help="unevenness, as the Kullback–Leibler divergence of λ ⊙ L from even, that counts as none"
    )
    relax: bool = option(False, help="once the losses are even, do not hold them so while descending")

    def weights(self, losses: Tensor, preferences: Tensor, gramians: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Weighting.weights`; rows lie on the simplex."""

        def solve(row: Array, preference: Array, gramian: Array) -> Array:
            return epo_weights(row, preference, gramian, tolerance=self.tolerance, relax=self.relax)

        return solved_on_host(solve, losses, losses, preferences, gramians)


def epo_weights(
    losses: Array, preference: Array, gramian: Array, *, tolerance: float = 1e-4, relax: bool = False
) -> Array:
    """The weights α of one step of exact Pareto optimal search.

    With q = λ ⊙ L / Σ λ_t L_t, unevenness `μ = Σ_t q_t log(m q_t)` and adjustments `a_t = λ_t (log(m q_t) − μ)`, C the
    Gramian and J = {t : (Ca)_t > 0}:

    - μ > tolerance: maximize αᵀCa subject to (Cα)_t ≥ 0 for the largest λ_t L_t and (Cα)_t ≥ (Ca)_t outside J; where J
      is empty, subject to Cα ≥ 0;
    - otherwise: maximize 1ᵀCα subject to Cα ≥ 0 and αᵀCa ≥ min(0, max_t (Ca)_t), the latter unless `relax`.

    Args:
        losses: L (m,), not negative.
        preference: λ (m,), not negative.
        gramian: C (m, m), inner products of the tasks' gradients.
        tolerance: of the unevenness.
        relax: leave the ray while descending.

    Returns:
        α (m,) on the simplex; λ itself where the program has no solution, as released, or where λ ⊙ L is 0.

    Raises:
        SpecError: a loss is negative.
    """
    if (losses < 0).any():
        raise SpecError(
            f"solver.objective: epo needs losses that are not negative, but found {float(losses.min()):g}; "
            "add a constant to that loss or use another objective"
        )
    # Left out like a task of no preference: one that the batch has no label of.
    kept = (preference > _LEAST) & ((losses != 0) | (gramian.diagonal() != 0))
    if not kept.all():
        weights = np.zeros_like(losses)
        if kept.any():
            weights[kept] = epo_weights(
                losses[kept], preference[kept], gramian[np.ix_(kept, kept)], tolerance=tolerance, relax=relax
            )
        return weights
    weighted = preference * losses
    along = np.asarray(preference / preference.sum())
    if len(losses) == 1 or weighted.sum() == 0:
        return along
    found = _direction(weighted, preference, unit_scale(gramian), tolerance, relax)
    return along if found is None else found


def _direction(weighted: Array, preference: Array, c: Array, tolerance: float, relax: bool) -> Array | None:
    """The linear program of `epo_weights` for λ ⊙ L of two tasks or more, not all 0; None where it has no solution."""
    m = len(weighted)
    share = weighted / weighted.sum()
    unevenness = float(xlogy(share, m * share).sum())
    # log 0 stands for a loss of 0: the smallest number keeps its adjustment finite.
    adjustments = preference * (np.log(m * share.clip(min=np.finfo(np.float64).tiny)) - unevenness)
    gains = c @ adjustments
    if unevenness > tolerance:
        floor = np.where(gains > 0, -np.inf, gains) if (gains > 0).any() else np.zeros(m)
        if (gains > 0).any():
            floor[weighted == weighted.max()] = 0.0
        return _program(gains, c, floor)
    rows, floor = c, np.zeros(m)
    if not relax:
        rows, floor = np.vstack([c, gains]), np.append(floor, min(0.0, float(gains.max())))
    return _program(c.sum(axis=0), rows, floor)


def _program(gains: Array, rows: Array, floor: Array) -> Array | None:
    """argmax of gains·α over the simplex subject to rows @ α ≥ floor, or None where nothing satisfies that."""
    bound = np.isfinite(floor)
    result = linprog(
        -gains,
        A_ub=-rows[bound] if bound.any() else None,
        b_ub=-floor[bound] if bound.any() else None,
        A_eq=np.ones((1, len(gains))),
        b_eq=[1.0],
        bounds=(0, None),
        method="highs",
    )
    return np.asarray(result.x, dtype=np.float64) if result.success else None
