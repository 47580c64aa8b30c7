from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from moframework.benchmark.statistics.interval import interval


@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_students_interval_by_scipy(confidence: float) -> None:
    values = np.random.default_rng(0).normal(size=7).tolist()
    found = interval(values, confidence)
    theirs = stats.ttest_1samp(values, 0.0).confidence_interval(confidence)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))
    assert found.note is None


@pytest.mark.parametrize("how", ["t", "bootstrap"])
def test_there_is_none_where_no_spread_is_seen(how: str) -> None:
    for values, words in (([], "no value"), ([1.0], "no spread"), ([0.3] * 4, "all 4 values are equal")):
        found = interval(values, 0.95, how)  # type: ignore[arg-type]
        assert (found.low, found.high) == (None, None)
        assert found.note is not None
        assert words in found.note


def test_the_bootstrap_is_near_students_interval_and_the_same_each_time() -> None:
    values = np.random.default_rng(1).normal(5, 1, size=40).tolist()
    first, again, other = (interval(values, 0.9, how) for how in ("bootstrap", "bootstrap", "t"))  # type: ignore[arg-type]
    assert first == again != other
    assert first.low == pytest.approx(other.low, abs=0.05)
    assert first.high == pytest.approx(other.high, abs=0.05)
    skewed = np.exp(np.random.default_rng(2).normal(size=40)).tolist()
    found = interval(skewed, 0.9, "bootstrap")
    assert found.low is not None
    assert found.high is not None
    mean = math.fsum(skewed) / 40
    assert found.high - mean > 1.1 * (mean - found.low), "it follows the skew of the values"


def test_it_holds_the_mean_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)
    inside = 0
    for _ in range(400):
        found = interval(generator.normal(size=3).tolist(), 0.9)
        assert found.low is not None
        assert found.high is not None
        inside += found.low < 0 < found.high
    assert inside == pytest.approx(360, abs=25)
