"""How the points of a front lie: how wide they reach, how evenly they stand, how large the holes between them are.

All of these look at the distinct points that no other dominates, so that a point given twice, or a dominated one,
changes nothing. They have the unit of the losses, and depend on their scale: `normalized` makes tasks comparable.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moframework.pareto.indicators import Direction, angles, nondominated

__all__ = ["cross_angle", "gap", "normalized", "spacing", "span", "sparsity", "spread"]

Array = NDArray[np.float64]


def normalized(losses: ArrayLike, ideal: ArrayLike, nadir: ArrayLike) -> Array:
    """Losses in units of a range: `(L_t − ideal_t) / (nadir_t − ideal_t)`, 0 at the ideal point and 1 at the nadir.

    A task whose range is empty keeps its differences as they are.

    Args:
        losses: (n, m).
        ideal: (m,), the best of each task.
        nadir: (m,), the worst of each task along the best front; nowhere below `ideal`.

    Returns:
        (n, m); not limited to [0, 1].

    Raises:
        ValueError: wrong shapes, a number that is not finite, or a nadir below the ideal.

    >>> normalized([[1, 20], [3, 10]], [1, 10], [5, 30]).tolist()
    [[0.0, 0.5], [0.5, 0.0]]
    """
    points = _finite(losses)
    best, worst = (_corner(name, point, points.shape[1]) for name, point in (("ideal", ideal), ("nadir", nadir)))
    if (worst < best).any():
        t = int(np.argmax(worst < best))
        raise ValueError(f"the nadir must not be below the ideal, but in column {t} it is {worst[t]:g} < {best[t]:g}")
    return np.asarray((points - best) / np.where(worst > best, worst - best, 1.0))


def spacing(losses: ArrayLike) -> float:
    """How much the distances to the nearest neighbor differ: `√(1/(n−1) Σ_i (d̄ − d_i)²)`, with `d_i` the smallest sum
    of absolute differences `Σ_t |L_it − L_jt|` to another point. 0 is even.

    Source: Schott, Fault Tolerant Design Using Single and Multicriteria Genetic Algorithm Optimization, thesis, MIT,
    1995. Others differ: pymoo divides by n, and LibMOON takes Euclidean distances too; both take all points.

    Args:
        losses: (n, m), n at least 1.

    Returns:
        at least 0; nan for a single distinct non-dominated point, which has no neighbor.

    Raises:
        ValueError: wrong shape, no points, or a loss that is not finite.

    >>> round(spacing([[0, 4], [1, 3], [3, 1], [4, 0]]), 4), round(spacing([[0, 3], [1, 1], [2, 0]]), 4)
    (0.0, 0.5774)
    """
    points = _distinct(losses)
    if len(points) < 2:
        return float("nan")
    from scipy.spatial.distance import cdist

    distances = cdist(points, points, "cityblock")
    np.fill_diagonal(distances, np.inf)
    return float(np.std(distances.min(axis=1), ddof=1))


def sparsity(losses: ArrayLike) -> float:
    """The mean squared step along the front, summed over tasks: `1/(n−1) Σ_t Σ_i (l_t(i+1) − l_t(i))²`, with l_t the
    losses of task t in order. Small is dense; a front that is one short piece is dense too, so look at `span` as well.

    Source: Xu, Tian, Ma, Rus, Sueda, Matusik, Prediction-Guided Multi-Objective Reinforcement Learning, ICML 2020; the
    same in LibMOON, whose table has a hundred times this.

    Args:
        losses: (n, m), n at least 1.

    Returns:
        at least 0; nan for a single distinct non-dominated point, where LibMOON says 0.

    Raises:
        ValueError: as of `spacing`.

    >>> sparsity([[0, 4], [1, 2], [3, 0]])
    6.5
    """
    points = _distinct(losses)
    if len(points) < 2:
        return float("nan")
    return float(np.square(np.diff(np.sort(points, axis=0), axis=0)).sum() / (len(points) - 1))


def span(losses: ArrayLike) -> float:
    """The narrowest of the tasks' ranges: `min_t (max_i L_it − min_i L_it)`. Large is wide in every task.

    Source: LibMOON (Zhang et al., NeurIPS 2024 Datasets and Benchmarks), which takes dominated points too.

    Args:
        losses: (n, m), n at least 1.

    Returns:
        at least 0; 0 for a single point.

    Raises:
        ValueError: as of `spacing`.

    >>> span([[0, 4], [1, 2], [3, 3.5]]), span([[0, 4], [3, 3.5]])
    (1.0, 0.5)
    """
    return float(np.ptp(_distinct(losses), axis=0).min())


def spread(losses: ArrayLike) -> float:
    """Maximum spread: the diagonal of the box around the front, `√(Σ_t (max_i L_it − min_i L_it)²)`. Large is wide.

    Source: Zitzler, Evolutionary Algorithms for Multiobjective Optimization, thesis, ETH Zürich, 1999 (M3*).

    Args:
        losses: (n, m), n at least 1.

    Returns:
        at least 0; 0 for a single point.

    Raises:
        ValueError: as of `spacing`.

    >>> spread([[0, 4], [1, 1], [3, 0]])
    5.0
    """
    return float(np.linalg.norm(np.ptp(_distinct(losses), axis=0)))


def gap(losses: ArrayLike) -> float:
    """The largest hole: for two tasks the largest Euclidean distance between neighbors along the front. For any number
    the longest edge of the minimum spanning tree, which for two tasks is the same: at any smaller distance the front
    falls apart.

    Source: the largest of the distances between neighbors in the hole relative size of Collette and Siarry (Computers
    & Operations Research 32, 2005), not divided by their mean; the tree for more tasks is ours.

    Args:
        losses: (n, m), n at least 1.

    Returns:
        above 0, or 0 below some 1e-160; nan for a single distinct non-dominated point.

    Raises:
        ValueError: as of `spacing`.

    >>> gap([[0, 7], [1, 6], [4, 2], [5, 1]])
    5.0
    """
    points = _distinct(losses)
    if len(points) < 2:
        return float("nan")
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import minimum_spanning_tree
    from scipy.spatial.distance import cdist

    # In a dense array the tree would take distances up to 1e-8 for no edge; in a sparse one only 0, which is that of
    # distinct points whose squares underflow.
    return float(minimum_spanning_tree(csr_array(cdist(points, points))).data.max(initial=0.0))


def cross_angle(preferences: ArrayLike, losses: ArrayLike, direction: Direction = "preference") -> float:
    """The mean angle between the losses and the ray of their preference, in degrees; 0 is exact. See `angles`, which
    has it point by point.

    Source: LibMOON (Zhang et al., NeurIPS 2024 Datasets and Benchmarks), whose rays are λ; `direction: inverse` is 1/λ,
    on which a larger weight means a smaller loss.

    Args:
        preferences: (n, m), not negative.
        losses: (n, m), n at least 1.
        direction: as of `angles`.

    Returns:
        in [0, 180]; nan where an angle is not defined: losses that are all 0.

    Raises:
        ValueError: shapes differ, no points, or a number that is not finite.

    >>> round(cross_angle([[0.5, 0.5], [1, 0]], [[1, 1], [1, 1]]), 3)
    22.5
    """
    return float(angles(preferences, _finite(losses), direction).mean())


def _distinct(losses: ArrayLike) -> Array:
    """The distinct points that no other dominates, in the order of the first task."""
    points = _finite(losses)
    return np.asarray(np.unique(points[nondominated(points)], axis=0))


def _finite(losses: ArrayLike) -> Array:
    points = np.asarray(losses, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] == 0:
        raise ValueError(f"losses must have shape (n, m) with a column for each task, but has {points.shape}")
    if len(points) == 0:
        raise ValueError("losses must have at least one point")
    for row, column in np.argwhere(~np.isfinite(points)):
        raise ValueError(f"losses: row {row}, column {column} is {points[row, column]}")
    return points


def _corner(name: str, values: ArrayLike, m: int) -> Array:
    point = np.asarray(values, dtype=np.float64)
    if point.shape != (m,):
        raise ValueError(f"the {name} must have one number a task, {m}, but has shape {point.shape}")
    if not np.isfinite(point).all():
        raise ValueError(f"the {name} must be finite, but it is {point.tolist()}")
    return point
