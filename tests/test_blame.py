"""Errors of code that is not ours are told with the part and the line, and our own are left as they are."""

from __future__ import annotations

import contextlib
import importlib
from pathlib import Path

import pytest
from moframework.problems import csv as zoo

import moframework
from moframework.blame import blamed, line_of
from moframework.errors import SpecError


def test_a_module_that_is_not_installed_is_told_by_who_knows_what_installs_it() -> None:
    with pytest.raises(ModuleNotFoundError), blamed("building", "solver"):
        importlib.import_module("no_such_module")


def test_lines_of_packages_with_names_like_ours_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plug-in may lie beside us, and begin as we do."""
    file = Path(moframework.__file__).parent.with_name("moframework_of_mine") / "space.py"
    code = compile("raise ValueError('no')", str(file), "exec")
    monkeypatch.setattr(Path, "is_file", lambda _: True)
    with pytest.raises(SpecError, match=r"moframework_of_mine/space\.py:1\)$"), blamed("this", "solver"):
        exec(code, {})


def test_the_cause_is_kept() -> None:
    with pytest.raises(SpecError, match=r"^solver: building fails: KeyError: 'x' \(.*:\d+\)$") as error, _building():
        raise KeyError("x")
    assert isinstance(error.value.__cause__, KeyError)


def _building() -> contextlib.AbstractContextManager[None]:
    return blamed("building", "solver")


def test_errors_of_ours_may_be_left_as_they_are() -> None:
    text = "with blamed('building', 'solver', only_of_others=True):\n    raise KeyError('ours')"
    with pytest.raises(KeyError):
        exec(compile(text, moframework.__file__, "exec"), {"blamed": blamed})
    with pytest.raises(SpecError, match=r"building fails: KeyError: 'ours' \(.*test_blame\.py:2\)$"):
        exec(compile(text, __file__, "exec"), {"blamed": blamed})


def test_lines_of_the_zoo_are_ours_wherever_it_lies() -> None:
    with pytest.raises(AttributeError) as error:
        zoo._categories(None, [None])  # type: ignore[arg-type, list-item]
    assert line_of(error.value).startswith(f" ({__file__}:")
