from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from moframework.config.words import allowed, either, expected, shown, suggestion
from tests.config.parts import Schedule, Task


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (False, "false"),
        (3.5, "3.5"),
        ("a", "'a'"),
        ({}, "an empty mapping"),
        ({"a": 1}, "a mapping"),
        ([], "an empty list"),
        ((1,), "a list"),
        (Task(), "a Python object of type Task"),
    ],
)
def test_shown(value: object, text: str) -> None:
    assert shown(value) == text


def test_long_values_are_cut() -> None:
    assert len(shown("x" * 500)) == 60


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (Any, "anything"),
        (Path, "a path"),
        (tuple[Schedule, ...], "a list of parts, each the name of a schedule, or a mapping with its options"),
        (tuple[int | None, ...], "a list of values, each a whole number or null"),
        (tuple[int, str], "a list of 2 values (a whole number, text)"),
        (dict[str, Task], "a mapping of names to values, each a mapping of options"),
        (bool | Literal["auto"] | None, "true, false, 'auto' or null"),
    ],
)
def test_expected(type_: Any, text: str) -> None:
    assert expected(type_) == text


def test_either() -> None:
    assert either(["a"]) == "a"
    assert either(["a", "b", "c"]) == "a, b or c"


def test_allowed() -> None:
    assert allowed([], "x") == "allowed: none"
    assert allowed(["cosine_annealing", "step"], "cosin") == (
        "did you mean 'cosine_annealing'? allowed: cosine_annealing, step"
    )
    assert allowed(["a"], None) == "allowed: a"


@pytest.mark.parametrize(
    ("value", "type_", "text"),
    [
        ("on", bool, "; did you mean true?"),
        ("~", int | None, "; did you mean null?"),
        ("-4", int, "; did you mean -4 (without quotes)?"),
        (".5", float, "; did you mean .5 (without quotes)?"),
        (2.5, int, ""),
        ("zzz", Literal["shared"], ""),
        ([], int, ""),
    ],
)
def test_suggestion(value: object, type_: Any, text: str) -> None:
    assert suggestion(value, type_) == text
