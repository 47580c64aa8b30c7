from __future__ import annotations

import numpy as np
import pytest

from moframework.benchmark.statistics.profile import ratios, share_within

INF, NAN = float("inf"), float("nan")


def test_ratios_by_hand() -> None:
    costs = [[2.0, 1.0, 4.0], [3.0, NAN, 6.0], [NAN, NAN, NAN]]
    assert ratios(costs, upward=False).tolist() == [[2, 1, 4], [1, INF, 2]]
    volumes = [[0.5, 1.0, 0.0], [NAN, 0.2, 0.1], [0.0, 0.0, 0.0]]
    assert ratios(volumes, upward=True).tolist() == [[2, 1, INF], [INF, 1, 2]]
    assert ratios(np.zeros((0, 2)), upward=True).shape == (0, 2)


def test_shares_are_those_of_the_definition() -> None:
    found = ratios(np.random.default_rng(0).random((30, 4)) + 0.1, upward=False)
    for factor in (1.0, 1.3, 5.0):
        expected = [sum(row[s] <= factor for row in found) / 30 for s in range(4)]
        assert share_within(found, factor).tolist() == pytest.approx(expected)
    assert share_within(found, 1.0).sum() == pytest.approx(1), "one is the best on each problem"
    assert share_within([[INF, 1.0]], 1e9).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(("values", "upward"), [([[0.0, 1.0]], False), ([[-1.0, 1.0]], True), ([[-1.0, 1.0]], False)])
def test_what_has_no_ratio_is_refused(values: list[list[float]], upward: bool) -> None:
    with pytest.raises(ValueError, match="above 0"):
        ratios(values, upward)
