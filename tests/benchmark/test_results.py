from __future__ import annotations

from pathlib import Path

import pytest

from moframework.benchmark.results import Results, Statistic


def test_mean_and_spread_over_seeds() -> None:
    found = Statistic((1.0, 2.0, 3.0))
    assert (found.mean, found.std) == (2.0, 1.0)
    assert (Statistic((1.0,)).mean, Statistic((1.0,)).std) == (1.0, None)
    assert (Statistic(()).mean, Statistic((None,)).mean) == (None, None)
    assert Statistic((1.0, None, 3.0)).std == pytest.approx(2**0.5)


def test_the_hypervolume_is_a_mean_over_seeds_not_that_of_their_union(finished: tuple[Results, Path]) -> None:
    results, _ = finished
    (group,) = results.groups
    for row in group.rows:
        by_hand = [front.hypervolumes()["accuracy"]["value"] for front in row.fronts]
        assert len(by_hand) == 2
        assert row.statistic("hypervolume/accuracy").mean == pytest.approx(sum(by_hand) / 2)


def test_rows_know_what_they_are(finished: tuple[Results, Path]) -> None:
    results, _ = finished
    (group,) = results.groups
    assert [(row.solver, row.continuous) for row in group.rows] == [("adapters", True), ("networks", False)]
    assert group.reference == (1.0, 1.0)
    assert group.stated
    for one in results.cells:
        assert one.environment["threads"] >= 1
        assert one.environment["git"] is None or len(one.environment["git"]["commit"]) == 40
    assert results.environment["packages"]["torch"]
