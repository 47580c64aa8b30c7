from __future__ import annotations

import re

import numpy as np
import pytest

from moframework.pareto.selection import best_row

COLUMNS = {
    "left/loss": np.array([0.5, 0.3, 0.2, 0.2]),
    "left/accuracy": np.array([0.8, 0.9, np.nan, 0.95]),
    "right/loss": np.array([0.1, 0.2, 0.4, 0.5]),
}


@pytest.mark.parametrize(
    ("where", "maximize", "minimize", "row"),
    [
        ((), None, "left/loss", 2),  # the first of equals
        ((), None, "right/loss", 0),
        ((), "left/accuracy", None, 3),  # nan is never chosen
        ("right/loss < 0.4", None, "left/loss", 1),
        ("right/loss <= 0.4", None, "left/loss", 2),
        ("  left/accuracy>=.9 ", None, "right/loss", 1),
        (["left/accuracy > 8e-1", "right/loss < 5e-1"], "left/accuracy", None, 1),
        ("right/loss = 0.2 ± 0.1", None, "left/loss", 1),
        ("left/accuracy > -1", None, "left/loss", 3),  # nan meets no condition
    ],
)
def test_the_best_row(where: str | list[str], maximize: str | None, minimize: str | None, row: int) -> None:
    assert best_row(COLUMNS, where=where, maximize=maximize, minimize=minimize) == row


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "exactly one of maximize and minimize"),
        ({"maximize": "left/loss", "minimize": "left/loss"}, "exactly one of maximize and minimize"),
        ({"minimize": "left/los"}, "no column 'left/los': did you mean 'left/loss'? allowed: left/loss, left/accuracy"),
        ({"minimize": "left/loss", "where": "right/los < 1"}, "no column 'right/los'"),
        ({"minimize": "left/loss", "where": "left/loss == 1"}, "cannot read condition 'left/loss == 1'"),
        ({"minimize": "left/loss", "where": "left/loss < low"}, "'low' is not a number"),
        (
            {"minimize": "left/loss", "where": ["left/accuracy >= 0.99", "right/loss < 0.3"]},
            "no point meets all conditions: left/accuracy >= 0.99 (best value 0.95); right/loss < 0.3 (best value 0.1)",
        ),
    ],
)
def test_what_cannot_be_selected_is_told(arguments: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        best_row(COLUMNS, **arguments)


def test_a_column_of_nan_has_no_best_row() -> None:
    with pytest.raises(ValueError, match="x is nan in all rows"):
        best_row({"x": np.full(3, np.nan)}, maximize="x")


@pytest.mark.parametrize("where", [" " * 100_000, "a" * 100_000 + "<1", "a <" + "1" * 100_000, "< " * 50_000])
def test_long_conditions_are_refused_at_once(where: str) -> None:
    with pytest.raises(ValueError, match="cannot read condition") as error:
        best_row({"a": np.array([1.0])}, where=where, minimize="a")
    assert len(str(error.value)) < 400


def test_conditions_without_number_or_too_many() -> None:
    columns = {"a": np.array([1.0, 2.0]), "b c": np.array([2.0, 1.0])}
    with pytest.raises(ValueError, match="nothing is smaller or larger than nan"):
        best_row(columns, where="a < nan", minimize="a")
    with pytest.raises(ValueError, match="1,001 conditions are too many"):
        best_row(columns, where=["a < 3"] * 1001, minimize="a")
    assert best_row(columns, where="  b c \t>=\n 2 ", minimize="b c") == 0
