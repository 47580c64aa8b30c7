from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from moframework.benchmark.composing import compose, expand, overlay
from moframework.spec.marks import Item, Mark, Source, from_plain, plain

MARK = Mark(Source("", Path("/folder"), 1), 1, 1)


def tree(value: object) -> Item:
    return from_plain(value, MARK)


@pytest.mark.parametrize(
    ("entry", "whole"),
    [
        ("palora", {"solver": "palora"}),
        ({"name": "palora", "rank": 2}, {"solver": {"name": "palora", "rank": 2}}),
        ({"python": "./a.py:B"}, {"solver": {"python": "./a.py:B"}}),
        ({"solver": "palora", "label": "x"}, {"solver": "palora", "label": "x"}),
        (3, 3),
    ],
)
def test_entries_are_written_out_once(entry: Any, whole: Any) -> None:
    once = expand(tree({"solvers": [entry]}))
    assert plain(once) == {"solvers": [whole]}
    assert plain(expand(once)) == plain(once)


@pytest.mark.parametrize("value", [3, {"solvers": 3}, {"solvers": None}, {"tune": 3}, {"tune": {"grid": 3}}])
def test_wrong_shapes_are_left_as_they_are(value: Any) -> None:
    assert plain(expand(tree(value))) == value


def test_references_to_files_become_absolute_where_sections_stay_plain() -> None:
    entry = {"solver": {"python": "./a.py:B"}, "training": {"optimizer": {"python": "./a.py:C"}, "x": [1, "b"]}}
    expanded = plain(expand(tree({"solvers": [entry], "tune": {"grid": {"k": [{"python": "p.q:R"}]}}})))
    assert expanded["solvers"][0]["solver"] == {"python": "./a.py:B"}
    assert expanded["solvers"][0]["training"] == {"optimizer": {"python": "/folder/a.py:C"}, "x": [1, "b"]}
    assert expanded["tune"]["grid"]["k"] == [{"python": "p.q:R"}]


def test_layers() -> None:
    root = tree({
        "problems": [{"problem": "p", "training": {"a": 2, "b": 2}}],
        "solvers": [{"solver": "s", "training": {"a": 3}, "evaluate": {"e": 1}}],
        "training": {"a": 1, "b": 1, "c": 1},
        "seeds": [1],
    })  # fmt: skip
    assert plain(compose(root, 0, 0)) == {
        "problem": "p",
        "solver": "s",
        "training": {"a": 3, "b": 2, "c": 1},
        "evaluate": {"e": 1},
    }


def test_overlay_makes_the_sections_on_the_way() -> None:
    root = tree({"solver": "palora", "training": {"optimizer": {"name": "sgd"}}})
    laid = overlay(root, {"training.optimizer.lr": tree(0.1), "solver.rank": tree(2), "evaluate.points": tree(3)})
    assert plain(laid) == {
        "solver": {"name": "palora", "rank": 2},
        "training": {"optimizer": {"name": "sgd", "lr": 0.1}},
        "evaluate": {"points": 3},
    }


def test_overlay_steps_into_lists() -> None:
    root = tree({"training": {"groups": [{"lr": 1, "optimizer": {"name": "muon", "lr": 2}}, {"lr": 3}]}})
    laid = overlay(root, {"training.groups.0.optimizer.lr": tree(4), "training.groups.1.lr": tree(5)})
    assert plain(laid) == {"training": {"groups": [{"lr": 1, "optimizer": {"name": "muon", "lr": 4}}, {"lr": 5}]}}
