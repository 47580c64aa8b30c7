"""Even sets of points on the simplex, by construction rather than by chance."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["even", "inner_margin", "inset", "lattice", "lattice_partitions", "spread"]

# Candidates that `spread` chooses among: enough for a fine choice, few enough to take milliseconds.
_CANDIDATES = 5000
# Of the result; the choice takes time with the square of the points, and memory with the third power of the tasks.
_NUMBERS, _TASKS = 25_000, 100


def even(count: int, m: int) -> Tensor:
    """`count` evenly spread points on the simplex of `m` tasks.

    One point: the center. Two tasks: equal steps. Three tasks: the triangular (Das–Dennis) lattice where one has
    `count` points. All else: `spread`.

    Args:
        count: number of points; 1, or at least m so that no task is left out.
        m: number of tasks, at least 1.

    Returns:
        (count, m), float64; the first task's weight ascends for lattices. One task has only the point 1, repeated.

    Raises:
        ValueError: `count` is below 1, or above 1 and below m.

    >>> even(3, 2).tolist()
    [[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]
    """
    if m == 1 or count == 1:
        _check(count, 1, m)
        return torch.full((count, m), 1 / m, dtype=torch.float64)
    partitions = lattice_partitions(m, count) if m <= 3 else None
    return spread(count, m) if partitions is None else lattice(m, partitions)


def lattice(m: int, partitions: int) -> Tensor:
    """The Das–Dennis lattice: all points whose coordinates are multiples of 1/`partitions`.

    Source: Das and Dennis, SIAM J. Optim. 8(3), 1998.

    Args:
        m: number of tasks, at least 1.
        partitions: p, at least 1.

    Returns:
        (C(p+m−1, m−1), m), float64, in ascending order of the first coordinate, then of the second, …

    >>> lattice(3, 1).tolist()
    [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    """
    if m < 1 or partitions < 1:
        raise ValueError(f"a lattice needs m and partitions of at least 1, but they are {m} and {partitions}")
    return torch.from_numpy(_whole_lattice(m, partitions) / partitions)


def lattice_partitions(m: int, count: int) -> int | None:
    """The p whose lattice of `m` tasks has exactly `count` points, or None when there is none.

    >>> [lattice_partitions(3, count) for count in (3, 5, 6, 66)]
    [1, None, 2, 10]
    """
    if m == 1:
        return 1 if count == 1 else None
    if m == 2:
        return count - 1 if count > 1 else None
    p = 1
    while _lattice_size(m, p) < count:
        p += 1
    return p if _lattice_size(m, p) == count else None


def spread(count: int, m: int) -> Tensor:
    """A well-spread fixed set for any number of tasks, half of it on the border of the simplex and half well inside.

    In this order: the m vertices; the center; the m points halfway between a vertex and the center; then in turn the
    border or lattice point that is farthest from all before, and the point halfway between it and the center. With
    farthest points alone nearly all would lie on the border when tasks are many: most weights would be 0, and a rank
    correlation between weights and losses would be decided by ties.

    Farthest points (maximin design) are chosen from the finest Das–Dennis lattice of about 5000 points. Of equally far
    ones the one taken has the least weight on tasks that have had much, then the first in the order of the lattice. All
    is reckoned in whole numbers, so the set is the same on every machine. A larger set begins with a smaller one, while
    both are below 1250 points.

    Args:
        count: number of points, at least m.
        m: number of tasks, at least 2.

    Returns:
        (count, m), float64.

    Raises:
        ValueError: `count` is below m (a task would never be emphasized), m above 100, or 25,000 numbers do not do.

    >>> spread(7, 3)[:5].tolist()[3:] == [[1 / 3, 1 / 3, 1 / 3], [2 / 3, 1 / 6, 1 / 6]]
    True
    """
    _check(count, m, m)
    if m > _TASKS or count * m > _NUMBERS:
        raise ValueError(
            f"{count:,} preferences for {m} tasks are too many to be spread: at most {_TASKS} tasks, "
            f"and {_NUMBERS:,} numbers in all"
        )
    p = 2
    while _lattice_size(m, p + 1) <= max(_CANDIDATES, 4 * count):
        p += 1
    # In units of 1/(2pm) lattice, vertices, center and halfway points are whole numbers, exact in float64.
    pool = _whole_lattice(m, p).astype(np.float64) * (2 * m)
    squares = (pool**2).sum(axis=1)
    vertices, center = 2 * p * m * np.eye(m), np.full(m, 2.0 * p)
    chosen = [*vertices, center, *((vertices + center) / 2)][:count]
    nearest = np.full(len(pool), np.inf)
    for point in chosen:
        nearest = np.minimum(nearest, squares - 2 * (pool @ point) + point @ point)
    while len(chosen) < count:
        farthest = np.flatnonzero(nearest == nearest.max())
        outer = pool[farthest[np.argmin(pool[farthest] @ np.sum(chosen, axis=0))]]
        for point in (outer, (outer + center) / 2):
            chosen.append(point)
            nearest = np.minimum(nearest, squares - 2 * (pool @ point) + point @ point)
    return torch.from_numpy(np.stack(chosen[:count]) / (2 * p * m))


def inset(points: Tensor, margin: float) -> Tensor:
    """`points` (n, m) of the simplex drawn towards its center, so that no weight is below `inner_margin(margin, m)`."""
    least = inner_margin(margin, points.shape[1])
    return least + (1 - points.shape[1] * least) * points


def inner_margin(margin: float, m: int) -> float:
    """The least weight of a task that `margin` stands for: itself up to three tasks, 3·margin/m beyond.

    Beyond three tasks the same number would take ever more of the simplex, and at 1/m all of it.
    """
    return margin * min(1.0, 3 / m)


def _whole_lattice(m: int, p: int) -> NDArray[np.int64]:
    """All (n, m) rows of whole numbers that sum to p: places of m−1 bars among p stars."""
    shape = (_lattice_size(m, p), m - 1)
    places = itertools.chain.from_iterable(itertools.combinations(range(p + m - 1), m - 1))
    bars = np.fromiter(places, dtype=np.int64, count=math.prod(shape)).reshape(shape)
    return np.diff(bars, axis=1, prepend=-1, append=p + m - 1) - 1


def _lattice_size(m: int, p: int) -> int:
    return math.comb(p + m - 1, m - 1)


def _check(count: int, least: int, m: int) -> None:
    if m < 1:
        raise ValueError(f"m, the number of tasks, must be at least 1, but it is {m}")
    if count < least:
        raise ValueError(
            f"{count} preferences do not reach all of {m} tasks: take at least {least}"
            + (", or 1 for the center alone" if least > 1 else "")
        )
