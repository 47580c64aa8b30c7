"""Performance profiles: on which share of problems a contender is within a factor of the best."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ratios", "share_within"]

Array = NDArray[np.float64]


def ratios(values: ArrayLike, upward: bool) -> Array:
    """By which factor each contender is worse than the best one on the same problem: 1 for the best.

    Source: Dolan, Moré, Benchmarking Optimization Software with Performance Profiles, Mathematical Programming 91,
    2002, for costs; where larger is better, the ratio is best over value.

    Args:
        values: (problems, contenders), above 0; nan for one that failed, which is at an infinite ratio. Where larger is
            better also 0, which is at an infinite ratio too.
        upward: whether larger is better.

    Returns:
        (k, contenders), at least 1, of the problems on which a contender has a value above 0.

    Raises:
        ValueError: a value is negative, or a cost 0, which is no ratio of anything.

    >>> ratios([[2.0, 1.0], [3.0, float("nan")]], upward=False).tolist()
    [[2.0, 1.0], [1.0, inf]]
    """
    array = np.asarray(values, dtype=np.float64)
    if (array < 0).any() or (not upward and (array == 0).any()):
        raise ValueError("ratios need values above 0")
    array = np.where(np.isnan(array), 0.0 if upward else np.inf, array)
    array = array[(np.isfinite(array) & (array > 0)).any(axis=1)]
    with np.errstate(divide="ignore"):
        return np.asarray(
            array.max(axis=1, keepdims=True) / array if upward else array / array.min(axis=1, keepdims=True)
        )


def share_within(found: ArrayLike, factor: float) -> Array:
    """The share of problems on which each contender is within `factor` of the best, (contenders,).

    >>> share_within([[2.0, 1.0], [1.0, float("inf")]], 1.5).tolist()
    [0.5, 0.5]
    """
    return np.asarray((np.asarray(found) <= factor * (1 + 1e-12)).mean(axis=0))
