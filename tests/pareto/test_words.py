"""Numbers of many tasks in short."""

from __future__ import annotations

import math

import pytest

from moframework.pareto.words import point_in_words, ranks_in_words

TASKS = [f"t{i}" for i in range(12)]


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([0.25, 0.75], "0.25, 0.75"),
        ([1.0] * 12, "1 for each of 12 tasks"),
        ([0.0125] * 3 + [0.5] + [0.0125] * 8, "0.5 for t3, 0.0125 for each other"),
        ([1.0] * 2 + [2.0, 3.0, 4.0, 5.0] + [1.0] * 6, "1, 1, 2, 3, 4, 5, 1, 1, 1, 1, 1, 1"),
    ],
)
def test_a_point(numbers: list[float], text: str) -> None:
    assert point_in_words(numbers, TASKS[: len(numbers)]) == text


def test_ranks() -> None:
    assert ranks_in_words([-1.0, math.nan], TASKS[:2]) == "t0 -1.000, t1 undefined"
    assert (
        ranks_in_words([-1.0, *[-0.5] * 9, 0.5, math.nan], TASKS)
        == "mean -0.455 of 11 tasks, from t0 -1.000 to t10 0.500"
    )
    assert ranks_in_words([math.nan] * 12, TASKS).count("undefined") == 12
