from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moframework.pareto import nondominated
from moframework.pareto.attainment import attainment_difference, attainment_surface, times_attained
from tests.pareto.fronts import Array, clouds


def naive(point: Array, fronts: list[Array]) -> int:
    """How many fronts have a point that is no worse anywhere, one by one."""
    return sum(any(all(a <= b for a, b in zip(own, point, strict=True)) for own in front) for front in fronts)


@settings(max_examples=30, deadline=None)
@given(m=st.integers(2, 3), data=st.data())
def test_surfaces_are_the_definition(m: int, data: st.DataObject) -> None:
    fronts = [data.draw(clouds(m, most=5, grid=True)) for _ in range(data.draw(st.integers(1, 4)))]
    values = sorted({float(value) for front in fronts for value in front.ravel()})
    grid = np.stack(np.meshgrid(*[values] * m), axis=-1).reshape(-1, m)
    counts = [naive(point, fronts) for point in grid]
    assert times_attained(grid, fronts).tolist() == counts
    for least in range(1, len(fronts) + 1):
        inside = grid[np.array(counts) >= least]
        expected = np.unique(inside[nondominated(inside)], axis=0)
        np.testing.assert_array_equal(attainment_surface(fronts, least), expected)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_differences_are_those_of_counts(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 3))
    first, second = ([data.draw(clouds(2, most=4, grid=True)) for _ in range(n)] for _ in range(2))
    found = attainment_difference(first, second)
    assert (found[:, -1] != 0).all()
    ticks = np.arange(0, 1.5, 0.25) + 0.125
    points = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    expected = times_attained(points, first) - times_attained(points, second)
    for point, more in zip(points, expected, strict=True):
        inside = [row[4] for row in found if row[0] <= point[0] < row[2] and row[1] <= point[1] < row[3]]
        assert sum(inside) == more
        assert len(inside) <= 1, "rectangles do not overlap"


FRONT = [[0.0, 1.0]]


@pytest.mark.parametrize(
    ("fronts", "least", "words"),
    [
        ([], 1, "at least one front"),
        ([FRONT], 2, "between 1 and 1"),
        ([FRONT], 0, "between 1 and 1"),
        ([FRONT, [[0.0, 1.0, 2.0]]], 1, "front 1 has shape (1, 3)"),
        ([[[1.0]]], 1, "2 or 3 tasks"),
        ([np.zeros((2, 4))], 1, "2 or 3 tasks"),
        ([FRONT, np.zeros((0, 2))], 1, "front 1 has shape (0, 2)"),
        ([FRONT, [[np.nan, 0.0]]], 1, "front 1: row 0, column 0 is nan"),
        ([[[0.0, np.inf]]], 1, "front 0: row 0, column 1 is inf"),
    ],
)
def test_wrong_input_is_refused(fronts: Any, least: int, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        attainment_surface(fronts, least)


def test_differences_need_as_many_fronts_of_two_tasks() -> None:
    with pytest.raises(ValueError, match="1 and 2"):
        attainment_difference([FRONT], [FRONT, FRONT])
    with pytest.raises(ValueError, match="two tasks only"):
        attainment_difference([[[0.0, 1.0, 2.0]]], [[[0.0, 1.0, 2.0]]])
