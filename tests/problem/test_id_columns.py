"""Columns that look like ids are told, and features are not."""

from __future__ import annotations

import numpy as np
import pytest

from moframework.data.table import Column
from moframework.problem.id_columns import id_notes

_RNG = np.random.default_rng(0)
_ORDER = [int(i) for i in _RNG.permutation(60)]


def told(name: str, cells: list[object]) -> str:
    notes = id_notes([Column.of(name, [str(cell) for cell in cells])], missing=("", "?"))
    assert len(notes) <= 1
    return notes[0] if notes else ""


@pytest.mark.parametrize(
    ("name", "cells", "reason"),
    [
        ("nr", list(range(1, 31)), "its 30 whole numbers rise from row to row"),
        ("nr", [f"{i}.0" for i in range(30)], "its 30 whole numbers rise from row to row"),  # as pandas writes them
        ("order", [10_000 + i * i for i in range(30)], "its 30 whole numbers rise from row to row"),
        ("nr", _ORDER, "its 60 whole numbers are all different, though they lie close together"),
        ("PassengerId", [70_101, 11_310, 90_222], "its name says so, and its 3 whole numbers are all different"),
        ("customer_id", [7, 7, 8, 9, 9], "its name says so, and it has whole numbers"),
        ("house", [f"h{i}" for i in _ORDER], "all its 60 cells are different texts"),
        ("uuid", ["3f-a1", "9b-07"], "all its 2 cells are different texts"),
    ],
)
def test_ids_are_told_with_the_reason_and_what_to_do(name: str, cells: list[object], reason: str) -> None:
    note = told(name, cells)
    assert note.startswith(f"column '{name}' looks like an id: {reason}. ")
    assert f"`ignore: [{name}]`" in note
    kind = "categorical" if "texts" in reason else "numeric"
    assert f"`{kind}: [{name}]` says so" in note


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("area", [f"{value:.3f}" for value in _RNG.uniform(30, 200, 500)]),  # all different, and no id
        ("area", sorted(_RNG.uniform(30, 200, 500).tolist())),
        ("refractive_index", [f"{value:.5f}" for value in _RNG.uniform(1.3, 1.7, 50)]),
        ("income", [int(value) for value in _RNG.permutation(10**6)[:100]]),  # whole and different by chance
        ("rooms", [1, 2, 3, 4, 5, 6] * 10),
        ("rooms", [3, 1, 2, 5]),  # few rows
        ("city", ["Oslo", "Bergen", "Rome"]),
        ("key", [0, 4, 7] * 10),  # of a song
        ("store_id", ["A", "B"] * 10),  # categories
        ("humid", [7, 7, 8, 9, 9]),
        ("nr", [*range(1, 30), "?"]),  # an id has no missing cells
    ],
)
def test_features_are_not(name: str, cells: list[object]) -> None:
    assert told(name, cells) == ""


def test_many_ids_are_counted() -> None:
    columns = [Column.of(f"c{i}", [str(row) for row in range(25)]) for i in range(8)]
    notes = id_notes(columns)
    assert len(notes) == 6
    assert notes[-1] == "3 more columns look like ids: c5, c6, c7"
