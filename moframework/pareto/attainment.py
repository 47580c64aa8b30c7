"""Empirical attainment surfaces: what of several fronts, one a seed, is reached how often."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["attainment_difference", "attainment_surface", "times_attained"]

Array = NDArray[np.float64]


def attainment_surface(fronts: Sequence[ArrayLike], least: int) -> Array:
    """The corners of the region that at least `least` of the fronts attain. A front attains a loss vector when a point
    of it is no worse in any task.

    With n fronts, 1 is the best surface, n the worst, and ⌈n/2⌉ the median one. Source: Grunert da Fonseca, Fonseca,
    Hall, Inferential Performance Assessment of Stochastic Optimisers and the Attainment Function, EMO 2001; computed by
    moocore.

    Args:
        fronts: n of them, each (n_i, m), finite, of 2 or 3 tasks.
        least: from 1 to n.

    Returns:
        (k, m), none of which dominates another, in the order of the first task.

    Raises:
        ValueError: no fronts, other numbers of tasks, an empty front, a loss that is not finite, or `least` out of
            reach.

    >>> attainment_surface([[[1, 2], [2, 1]], [[1.5, 1.5]]], 2).tolist()
    [[1.5, 2.0], [2.0, 1.5]]
    """
    points, sets = _together(fronts)
    n = len(fronts)
    if not 1 <= least <= n:
        raise ValueError(f"of {n} fronts between 1 and {n} can attain something, not {least}")
    import moocore

    found = moocore.eaf(points, sets)
    corners = found[np.rint(found[:, -1] * n / 100).astype(int) == least, :-1]
    return np.asarray(corners[np.lexsort(corners.T[::-1])])


def times_attained(points: ArrayLike, fronts: Sequence[ArrayLike]) -> NDArray[np.int64]:
    """How many of the fronts attain each loss vector, of any number of tasks.

    >>> times_attained([[1.5, 2], [1, 1]], [[[1, 2], [2, 1]], [[1.5, 1.5]]]).tolist()
    [2, 0]
    """
    wanted = np.asarray(points, dtype=np.float64)
    found = np.zeros(len(wanted), dtype=np.int64)
    for front in fronts:
        reached = np.all(np.asarray(front, dtype=np.float64)[None, :, :] <= wanted[:, None, :], axis=2)
        found += np.any(reached, axis=1)
    return found


def attainment_difference(first: Sequence[ArrayLike], second: Sequence[ArrayLike]) -> Array:
    """Where the fronts of one contender attain what those of another do not, as rectangles of two tasks.

    Args:
        first, second: as many fronts each, of two tasks.

    Returns:
        (k, 5): the smaller and the larger corner, which may be inf, and how many more of the first than of the second
        attain what lies between; 0 is left out.

    Raises:
        ValueError: as of `attainment_surface`; not two tasks; not as many fronts.

    >>> attainment_difference([[[1, 1]]], [[[2, 1]]]).tolist()
    [[1.0, 1.0, 2.0, inf, 1.0]]
    """
    if len(first) != len(second):
        raise ValueError(f"differences need as many fronts of either, but there are {len(first)} and {len(second)}")
    sides = [_together(fronts) for fronts in (first, second)]
    if any(points.shape[1] != 2 for points, _ in sides):
        raise ValueError("differences are drawn for two tasks only")
    if all(
        np.array_equal(attainment_surface(first, least), attainment_surface(second, least))
        for least in range(1, len(first) + 1)
    ):
        return np.zeros((0, 5))  # where moocore 0.3.2 fails
    import moocore

    found = moocore.eafdiff(*(np.column_stack(side) for side in sides), rectangles=True)
    return np.asarray(found[found[:, -1] != 0])


def _together(fronts: Sequence[ArrayLike]) -> tuple[Array, Array]:
    """The points of all fronts, and the number of the front of each."""
    own = [np.asarray(front, dtype=np.float64) for front in fronts]
    if not own:
        raise ValueError("attainment surfaces need at least one front")
    for place, points in enumerate(own):
        if points.ndim != 2 or points.shape[1] not in (2, 3) or points.shape[1] != own[0].shape[1] or not len(points):
            raise ValueError(
                f"attainment surfaces are of fronts with 2 or 3 tasks, (n, 2) or (n, 3) with n at least 1, all alike; "
                f"front {place} has shape {points.shape}"
            )
        if not np.isfinite(points).all():
            row, column = np.argwhere(~np.isfinite(points))[0]
            raise ValueError(f"front {place}: row {row}, column {column} is {points[row, column]}")
    sets = np.repeat(np.arange(1, len(own) + 1), [len(points) for points in own])
    return np.ascontiguousarray(np.concatenate(own)), sets.astype(np.float64)
