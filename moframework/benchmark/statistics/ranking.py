"""Ranks of contenders over problems, Friedman's test, Nemenyi's critical difference, Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import frozen
from numpy.typing import ArrayLike, NDArray
from scipy import stats

__all__ = ["Friedman", "critical_difference", "friedman", "groups", "holm", "ranks"]

Array = NDArray[np.float64]


@frozen(kw_only=True)
class Friedman:
    """Friedman's test: whether contenders have equal ranks in the mean."""

    statistic: float
    """χ², corrected for ties."""
    p: float
    f: float | None
    """Iman's and Davenport's F, which is less conservative; None where all problems rank alike, and it is infinite."""
    f_p: float | None


def ranks(values: ArrayLike, upward: bool) -> Array:
    """Ranks in each row from 1, the best, on; equal values share the mean of theirs.

    Args:
        values: (problems, contenders), none of them nan.
        upward: whether larger is better.

    >>> ranks([[0.9, 0.8, 0.8], [0.1, 0.3, 0.2]], upward=True).tolist()
    [[1.0, 2.5, 2.5], [3.0, 1.0, 2.0]]
    """
    array = np.asarray(values, dtype=np.float64)
    return np.asarray(stats.rankdata(-array if upward else array, axis=1))


def friedman(values: ArrayLike) -> Friedman | None:
    """Friedman's test on (problems, contenders), at least 2 and 3 of them; None where every row is one tie, so that
    there is nothing to test.

    Source: Friedman 1937; Iman, Davenport 1980; as Demšar, Statistical Comparisons of Classifiers over Multiple Data
    Sets, JMLR 7, 2006, recommends.
    """
    array = np.asarray(values, dtype=np.float64)
    n, k = array.shape
    if (np.ptp(array, axis=1) == 0).all():
        return None
    found = stats.friedmanchisquare(*array.T)
    statistic = float(found.statistic)
    rest = n * (k - 1) - statistic
    if rest <= 1e-9:
        return Friedman(statistic=statistic, p=float(found.pvalue), f=None, f_p=None)
    f = (n - 1) * statistic / rest
    return Friedman(statistic=statistic, p=float(found.pvalue), f=f, f_p=float(stats.f.sf(f, k - 1, (k - 1) * (n - 1))))


def critical_difference(k: int, n: int, confidence: float) -> float:
    """How far the mean ranks of two of `k` contenders over `n` problems must differ, by Nemenyi: `q √(k(k+1)/6n)`, with
    q the quantile of the studentized range over √2. Source: Demšar 2006.

    >>> round(critical_difference(4, 14, 0.95), 2)
    1.25
    """
    q = stats.studentized_range.ppf(confidence, k, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(k * (k + 1) / (6 * n)))


def groups(mean_ranks: Sequence[float], difference: float) -> list[tuple[int, ...]]:
    """Largest groups of contenders, by position, whose mean ranks differ by less than the critical difference, two or
    more in each, from the best on.

    >>> groups([1.0, 3.5, 1.5, 2.5], 1.2)
    [(0, 2), (2, 3), (3, 1)]
    """
    order = [int(place) for place in np.argsort(mean_ranks, kind="stable")]
    found: list[tuple[int, ...]] = []
    end = 0
    for start, first in enumerate(order):
        near = [place for place in order[start:] if mean_ranks[place] - mean_ranks[first] < difference]
        if len(near) > 1 and start + len(near) > end:
            found.append(tuple(near))
            end = start + len(near)
    return found


def holm(p: Sequence[float]) -> list[float]:
    """P-values corrected for their number by Holm's step-down method (1979).

    >>> [round(value, 4) for value in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    found, largest = [0.0] * len(p), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - place) * p[int(index)]))
        found[int(index)] = largest
    return found
