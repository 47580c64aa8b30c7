from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from moframework.benchmark.statistics.pairs import compare, signed_rank_chances, signed_rank_p

Z = [0.02, 0.01, -0.005, 0.03, 0.015, 0.001, -0.02, 0.04]


@pytest.mark.parametrize("n", [1, 2, 5, 12, 30])
def test_the_p_value_is_scipys_where_that_is_exact(n: int) -> None:
    difference = np.random.default_rng(n).normal(0.3, 1, n)
    assert signed_rank_p(difference) == pytest.approx(stats.wilcoxon(difference, method="exact").pvalue)


@pytest.mark.parametrize("seed", range(6))
def test_the_p_value_with_ties_by_all_signs(seed: int) -> None:
    difference = np.random.default_rng(seed).integers(-3, 4, 9).astype(float)
    own = difference[difference != 0]
    ranks = stats.rankdata(np.abs(own))
    sums = np.array([sum(rank for rank, up in zip(ranks, signs, strict=True) if up)
                     for signs in itertools.product([False, True], repeat=len(own))])  # fmt: skip
    found = ranks[own > 0].sum()
    expected = min(1.0, 2 * min((sums <= found + 1e-9).mean(), (sums >= found - 1e-9).mean()))
    assert signed_rank_p(difference) == pytest.approx(expected)


def test_equal_everywhere_is_no_difference() -> None:
    assert signed_rank_p([0.0] * 20) == 1.0
    assert signed_rank_p([]) == 1.0
    for blocks in ("problems", "seeds"):
        found = compare(("a", "b"), [[0.5, 0.5]] * 20, True, blocks, 0.95, 0.0)  # type: ignore[arg-type]
        assert (found.wins, found.ties, found.losses, found.difference, found.p) == (0, 20, 0, 0.0, 1.0)
        assert found.note == "equal everywhere"
        assert (found.chances.first, found.chances.equal, found.chances.second) == (0, 1, 0)
        assert found.interval.low is None


@pytest.mark.parametrize(
    ("rope", "first", "equal"), [(0.0043, 0.95257, 0.01117), (0.0117, 0.47377, 0.52499), (0.0162, 0.18655, 0.81328)]
)
def test_chances_agree_with_baycomp(rope: float, first: float, equal: float) -> None:
    """Made by baycomp 1.0.3, numpy 2.4.6: `SignedRankTest.probs(Z, 0·Z, rope=…, nsamples=400000, random_state=0)`."""
    found = signed_rank_chances(Z, rope)
    assert (found.first, found.equal) == pytest.approx((first, equal), abs=0.012)
    assert found.first + found.equal + found.second == pytest.approx(1)


def test_chances_prefer_neither_side() -> None:
    """Where both are alike; baycomp's favor the one named first."""
    alike = signed_rank_chances([0.1, -0.1, 0.2, -0.2], 0.0)
    assert alike.first == pytest.approx(alike.second, abs=0.02)
    one, other = signed_rank_chances(Z, 0.01), signed_rank_chances([-z for z in Z], 0.01)
    assert (one.first, one.equal, one.second) == pytest.approx((other.second, other.equal, other.first), abs=0.02)
    assert signed_rank_chances([1.0] * 9, 0.0).first > 0.99
    assert signed_rank_chances([0.001] * 9, 0.01).equal > 0.99


def test_over_seeds_by_the_paired_t_test() -> None:
    values = np.random.default_rng(0).random((5, 2))
    found = compare(("a", "b"), values, False, "seeds", 0.95, 0.0)
    theirs = stats.ttest_rel(values[:, 0], values[:, 1])
    assert found.p == found.p_holm == pytest.approx(theirs.pvalue)
    ends = theirs.confidence_interval(0.95)
    assert (found.interval.low, found.interval.high) == pytest.approx((ends.low, ends.high))
    assert found.difference == pytest.approx((values[:, 0] - values[:, 1]).mean())
    assert found.wins == int((values[:, 0] < values[:, 1]).sum()), "smaller is better"


def test_over_problems_by_the_signed_rank_test() -> None:
    values = np.random.default_rng(1).random((6, 2))
    found = compare(("a", "b"), values, True, "problems", 0.95, 0.0)
    assert found.p == signed_rank_p(values[:, 0] - values[:, 1])
    assert found.wins + found.losses == 6


def test_differences_without_spread_are_told() -> None:
    found = compare(("a", "b"), [[0.75, 0.5], [0.5, 0.25]], True, "seeds", 0.95, 0.0)
    assert found.p == 0.0
    assert found.note == "all 2 differences are equal, so that the t-test knows no spread"
    assert found.interval.note == "all 2 values are equal, so nothing is known of the spread"


def test_rounding_is_no_difference() -> None:
    found = compare(("a", "b"), [[0.1 + 0.2, 0.3], [0.7, 0.7]], True, "seeds", 0.95, 0.0)
    assert (found.ties, found.difference, found.note) == (2, 0.0, "equal everywhere")
    found = compare(("a", "b"), [[0.9, 0.2], [0.8, 0.1], [1000.7, 1000.0]], True, "seeds", 0.95, 0.0)
    assert found.note == "all 3 differences are equal, so that the t-test knows no spread"
