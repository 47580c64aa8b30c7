"""Two contenders over the same problems, or over the same seeds."""

from __future__ import annotations

from typing import Literal

import numpy as np
from attrs import frozen
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from moframework.benchmark.statistics.interval import ROUNDING, Interval, interval

__all__ = ["Blocks", "Chances", "Pair", "compare", "signed_rank_chances", "signed_rank_p"]

Array = NDArray[np.float64]
Blocks = Literal["problems", "seeds"]

_DRAWS = 20_000
_PRIOR = 0.5  # weight of the prior's observation, at 0


@frozen(kw_only=True)
class Chances:
    """What is believed after the data: that the first is better, that both are equal, that the second is better."""

    first: float
    equal: float
    second: float


@frozen(kw_only=True)
class Pair:
    """One contender against another."""

    first: str
    second: str
    wins: int
    """Problems or seeds on which the first is better."""
    ties: int
    losses: int
    difference: float
    """Mean of the first minus the second, in the measure's unit."""
    interval: Interval
    """Of that mean."""
    p: float
    """That differences like these come from equal contenders."""
    p_holm: float
    """The same, corrected for the number of pairs."""
    note: str | None
    chances: Chances


def compare(names: tuple[str, str], values: ArrayLike, upward: bool, blocks: Blocks, confidence: float, rope: float,
            ) -> Pair:  # fmt: skip
    """Compare two columns of numbers.

    Over problems, whose differences have no common scale, by Wilcoxon's signed-rank test; over the seeds of one
    problem by the paired t-test.

    Args:
        names: of both.
        values: (n, 2), none of them nan, n at least 2.
        upward: whether larger is better.
        blocks: what the rows are.
        confidence: of the interval.
        rope: differences up to this count as equal in the chances.
    """
    array = np.asarray(values, dtype=np.float64)
    difference = _rounded(array[:, 0] - array[:, 1], float(np.abs(array).max()))
    better = difference if upward else -difference
    if blocks == "problems":
        p, note = signed_rank_p(difference), None
    else:
        p, note = _t_p(difference)
    if not difference.any():
        note = "equal everywhere"
    return Pair(
        first=names[0], second=names[1],
        wins=int((better > 0).sum()), ties=int((better == 0).sum()), losses=int((better < 0).sum()),
        difference=float(difference.mean()), interval=interval(difference.tolist(), confidence),
        p=p, p_holm=p, note=note, chances=signed_rank_chances(better, rope),
    )  # fmt: skip


def signed_rank_p(difference: ArrayLike) -> float:
    """The exact two-sided p-value of Wilcoxon's signed-rank test, ties included: the share of all 2^n choices of signs
    whose rank sum is as far out. Differences of 0 are left out, as Wilcoxon does; 1 where all are 0.

    Source: Wilcoxon 1945. (scipy's is exact only without ties, and says 1 or nan where all are 0.)

    >>> signed_rank_p([0.1, 0.2, 0.3, 0.4, 0.5]), signed_rank_p([0.0, 0.0])
    (0.0625, 1.0)
    """
    array = np.asarray(difference, dtype=np.float64)
    array = array[array != 0]
    if len(array) == 0:
        return 1.0
    twice = np.rint(2 * stats.rankdata(np.abs(array))).astype(int)  # ranks of ties are halves
    chance = np.zeros(int(twice.sum()) + 1)
    chance[0] = 1.0
    for rank in twice:
        with_it = np.concatenate([np.zeros(rank), chance[:-rank]])
        chance = (chance + with_it) / 2
    found = int(twice[array > 0].sum())
    return float(min(1.0, 2 * min(chance[: found + 1].sum(), chance[found:].sum())))


def signed_rank_chances(better: ArrayLike, rope: float) -> Chances:
    """The Bayesian signed-rank test: how probable it is that the first is better, that both are practically equal, and
    that the second is better, on another problem (or seed) of the same kind.

    A Dirichlet process whose prior is one observation at 0 of weight 1/2; in each of 20,000 draws, seeded, of the
    weights of observations the largest of the three masses of `(z_i + z_j)/2` wins, and equal ones share.

    Source: Benavoli, Corani, Demšar, Zaffalon, Time for a Change: a Tutorial for Comparing Multiple Classifiers Through
    Bayesian Analysis, JMLR 18, 2017. (baycomp gives equal masses to the side that is named first.)

    Args:
        better: (n,), by how much the first is better.
        rope: differences up to this are equal.

    >>> signed_rank_chances([0.0, 0.0, 0.0], 0.0)
    Chances(first=0.0, equal=1.0, second=0.0)
    """
    z = np.concatenate([[0.0], np.asarray(better, dtype=np.float64)])
    means = (z[:, None] + z[None, :]) / 2
    alpha = np.concatenate([[_PRIOR], np.ones(len(z) - 1)])
    weights = np.random.default_rng(0).dirichlet(alpha, _DRAWS)
    regions = (means > rope, np.abs(means) <= rope, means < -rope)
    mass = np.stack([((weights @ region) * weights).sum(axis=1) for region in regions], axis=1)
    wins = mass >= mass.max(axis=1, keepdims=True) - 1e-12
    first, equal, second = (wins / wins.sum(axis=1, keepdims=True)).mean(axis=0).tolist()
    return Chances(first=first, equal=equal, second=second)


def _rounded(difference: Array, size: float) -> Array:
    """Differences of numbers of this size, without what is only rounding: equal ones are equal, and tiny ones are 0."""
    least = ROUNDING * size
    if np.ptp(difference) <= least:
        difference = np.full_like(difference, difference.mean())
    return np.where(np.abs(difference) <= least, 0.0, difference)


def _t_p(difference: Array) -> tuple[float, str | None]:
    """P-value of the paired t-test. Without spread: 1 where all differences are 0, else 0, and so told."""
    if np.ptp(difference) == 0:
        if difference[0] == 0:
            return 1.0, None
        return 0.0, f"all {len(difference)} differences are equal, so that the t-test knows no spread"
    return float(stats.ttest_1samp(difference, 0.0).pvalue), None
