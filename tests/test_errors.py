"""Texts of errors: bounded, whatever is told in them."""

from __future__ import annotations

import pickle

from moframework.errors import DataError, SpecError, nearest, shortened


def test_what_people_read_is_left_as_it_is() -> None:
    text = "\n".join("x" * 3000 for _ in range(1))
    assert str(SpecError(text)) == text
    many = "\n".join(f"line {i}" for i in range(200))
    assert str(SpecError(many)) == many
    assert str(DataError()) == ""


def test_long_lines_lose_their_middle_and_many_lines_their_end() -> None:
    told = str(SpecError("begin" + "x" * 10_000_000 + "; did you mean 'that'?"))
    assert len(told) < 5000
    assert told.startswith("beginxxx")
    assert told.endswith("; did you mean 'that'?")
    assert "characters) …" in told
    lines = str(SpecError("\n".join(f"a long enough line {i}" for i in range(1000)))).split("\n")
    assert (len(lines), lines[-1]) == (201, "… and 800 more lines")


def test_an_error_that_travels_between_processes_is_the_same() -> None:
    error = SpecError("x" * 100_000)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_nearest_looks_at_names_only() -> None:
    assert nearest("paloar", ["palora", "pamal"]) == "palora"
    assert nearest("x" * 1_000_000, ["x" * 1_000_000, "palora"]) is None
    assert nearest("paloar", ["x" * 1_000_000, "palora"]) == "palora"
    assert nearest("last", [f"k{i}" for i in range(100_000)] + ["last"]) is None


def test_shortened() -> None:
    assert shortened("x" * 60) == "x" * 60
    assert shortened("x" * 61) == "x" * 59 + "…"
