from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from moframework.config import Entry, entries, find, kinds
from moframework.config import registry as module
from moframework.errors import MoframeworkError, UnknownNameError


def test_built_ins_are_entry_points() -> None:
    assert {"solvers", "problems", "losses"} <= set(kinds())
    assert find("solvers", "palora").target == "moframework.solvers.palora:PaLoRA"
    assert [e.name for e in entries("losses")] == sorted(e.name for e in entries("losses"))


def test_unknown_kind_and_name() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'solvers'"):
        entries("solver")
    with pytest.raises(UnknownNameError, match="did you mean 'palora'"):
        find("solvers", "paloar")


def test_code_of_ones_own_in_the_place_of_a_name() -> None:
    with pytest.raises(UnknownNameError, match=r"`python` is a key in the place of `name`: \{python: mine\.py:Mine\}"):
        find("solvers", "python:mine.py:Mine")


def test_two_packages_with_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    both = (Entry("solvers", "x", "a:X", "first"), Entry("solvers", "x", "b:X", "second"))
    monkeypatch.setattr(module, "_all", lambda: {"solvers": {"x": both}})
    with pytest.raises(MoframeworkError, match=r"claimed by first \(a:X\) and second \(b:X\)"):
        find("solvers", "x")


def test_a_broken_plug_in_names_its_package() -> None:
    with pytest.raises(MoframeworkError, match=r"package 'other'.*cannot be imported"):
        Entry("solvers", "x", "no_such_module:X", "other").load()
    with pytest.raises(MoframeworkError, match="package 'other' has no"):
        Entry("solvers", "x", "moframework.errors:Nothing", "other").load()


def test_a_plug_in_whose_code_fails_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_written.py").write_text("def solver(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MoframeworkError, match=r"package 'other'.*cannot be imported: SyntaxError: .*half_written.py"):
        Entry("solvers", "x", "half_written:solver", "other").load()


def test_the_layer_imports_nothing_heavy() -> None:
    code = "import sys, moframework.config; print(sorted({'torch', 'yaml', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
