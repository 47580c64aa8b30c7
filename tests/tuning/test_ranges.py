from __future__ import annotations

from typing import Any

import pytest

from moframework.config import structure
from moframework.tuning.ranges import Range


@pytest.mark.parametrize(
    ("plain", "inside", "outside"),
    [
        ({"log": [1e-4, 1e-2]}, (1e-4, 1e-3, 1e-2), (0.99e-4, 2e-2, "1e-3", None, True)),
        ({"uniform": [-1, 1]}, (-1, 0, 0.5), (1.5, False)),
        ({"integers": [1, 8]}, (1, 8), (0, 9, 2.0, True)),
        ({"log_integers": [16, 512]}, (16, 100), (15, 16.0)),
        ({"choices": [64, None, {"name": "x"}, True]}, (64, None, {"name": "x"}, True), (1, {"name": "y"}, "64")),
    ],
)
def test_what_a_range_holds(plain: dict[str, Any], inside: tuple[Any, ...], outside: tuple[Any, ...]) -> None:
    made, faults = structure(plain, Range)
    assert not faults
    assert all(made.holds(value) for value in inside)
    assert not any(made.holds(value) for value in outside)
    assert made.kind == next(iter(plain))
    assert list(made.ends) == list(plain[made.kind])


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        ({"log": [0, 1]}, "log.0: must be greater than 0, but it is 0"),
        ({"log_integers": [0, 4]}, "log_integers.0: must be at least 1, but it is 0"),
        ({"integers": [8, 1]}, "it goes from the smaller number to the larger, but it is [8, 1]"),
        ({"uniform": [1, 1]}, "uniform: holds nothing to try"),
        ({"uniform": [0, float("inf")]}, "uniform: must be finite"),
        ({"integers": [1, 2.5]}, "integers.1: must be a whole number"),
        ({"log": [1, 2, 3]}, "log"),
        ({"choices": []}, "choices: must not be empty"),
        ({"choices": [1, 2, 1]}, "choices: has 1 twice"),
        ({}, "one of log, uniform, integers, log_integers, choices, but none is given"),
        ({"log": [1, 2], "integers": [1, 2]}, "but log and integers are given"),
        (
            {"lgo": [1, 2]},
            "lgo: unknown key; did you mean 'log'? allowed: log, uniform, integers, log_integers, choices",
        ),
    ],
)
def test_ranges_that_are_none(plain: dict[str, Any], words: str) -> None:
    _, faults = structure(plain, Range)
    assert any(words in str(fault) for fault in faults), [str(fault) for fault in faults]


def test_true_and_one_are_two_choices() -> None:
    made, faults = structure({"choices": [1, True]}, Range)
    assert not faults
    assert made.ends == (1, True)


@pytest.mark.parametrize(
    ("plain", "value", "at_edge"),
    [
        ({"log": [1e-4, 1.0]}, 1.3e-4, True),
        ({"log": [1e-4, 1.0]}, 0.01, False),  # at 1 % of the range, and in the middle by its logarithm
        ({"uniform": [0.0, 1.0]}, 0.01, True),
        ({"uniform": [0.0, 1.0]}, 0.1, False),
        ({"integers": [1, 8]}, 8, True),
        ({"integers": [1, 8]}, 7, False),
        ({"choices": [1, 2]}, 2, False),
    ],
)
def test_the_edge(plain: dict[str, Any], value: Any, at_edge: bool) -> None:
    made, _ = structure(plain, Range)
    assert made.at_edge(value) is at_edge
