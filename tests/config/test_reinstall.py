"""A name that stands in a pyproject.toml and is not installed is answered with what to do."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from moframework.config import Component, entries, find
from moframework.config.reinstall import reinstall_hint
from moframework.config.structure import structure
from moframework.errors import UnknownNameError
from moframework.solvers import Solver

GENERAL = "; a part that was just added to a pyproject.toml is found after `pip install -e .` in that folder"
DECLARED = """\
[project]
name = "mine"

[project.entry-points."moframework.solvers"]
zigzag = "mine.zigzag:Zigzag"
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, two below a folder that can have a `pyproject.toml`."""
    folder = tmp_path / "my project" / "a" / "b"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def test_a_declared_name_is_told_where_and_how(here: Path) -> None:
    file = here / "pyproject.toml"
    file.write_text(DECLARED)
    hint = reinstall_hint("solvers", "zigzag")
    assert hint.startswith(f"; {file} declares it, but what is installed does not have it yet: run `pip install -e .`")


def test_a_file_above_is_found_with_the_command_for_its_folder(here: Path) -> None:
    above = here.parents[1]
    (above / "pyproject.toml").write_text(DECLARED)
    (here / "pyproject.toml").write_text('[project]\nname = "other"\n')
    assert f"`pip install -e {shlex.quote(str(above))}`" in reinstall_hint("solvers", "zigzag", guess=True)


@pytest.mark.parametrize(("kind", "name"), [("solvers", "zigzug"), ("losses", "zigzag")])
def test_another_name_or_kind_is_not_declared(kind: str, name: str, here: Path) -> None:
    (here / "pyproject.toml").write_text(DECLARED)
    assert reinstall_hint(kind, name) == GENERAL
    assert reinstall_hint(kind, name, guess=True) == ""


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[project",
        b"\xff\xfe",
        b'project = "x"',
        b'[project]\nentry-points = ["moframework.solvers"]',
        b'[project.entry-points]\n"moframework.solvers" = "zigzag"',
        b"x = " + b"[" * 100_000,
        DECLARED.encode() + b"#" * 2**20,
    ],
    ids=["empty", "broken", "bytes", "text", "list", "no table", "deep", "large"],
)
def test_what_cannot_be_read_declares_nothing(text: bytes, here: Path) -> None:
    (here / "pyproject.toml").write_bytes(text)
    assert reinstall_hint("solvers", "zigzag") == GENERAL


@pytest.mark.skipif(os.name == "nt", reason="the working directory cannot be removed")
def test_a_removed_working_directory_is_no_failure(here: Path) -> None:
    here.rmdir()
    assert reinstall_hint("solvers", "zigzag") == GENERAL


def test_a_folder_of_that_name_is_none(here: Path) -> None:
    (here / "pyproject.toml").mkdir()
    assert reinstall_hint("solvers", "zigzag") == GENERAL


def message(name: str) -> str:
    made, (fault,) = structure(name, Solver)
    assert made is None
    return fault.message


def test_a_spec_gets_the_hint(here: Path) -> None:
    assert message("zigzag").endswith(GENERAL)
    (here / "pyproject.toml").write_text(DECLARED)
    assert message("zigzag").startswith("no solver called 'zigzag'; allowed: ")
    assert f"{here / 'pyproject.toml'} declares it" in message("zigzag")


def test_a_misspelled_name_gets_the_nearest_and_no_hint(here: Path) -> None:
    (here / "pyproject.toml").write_text(DECLARED)
    assert message("paloar").startswith("no solver called 'paloar'; did you mean 'palora'? allowed: ")
    assert "pip install" not in message("paloar")


def test_a_declared_name_that_looks_like_another_gets_both(here: Path) -> None:
    (here / "pyproject.toml").write_text(DECLARED.replace("zigzag =", "palora2 ="))
    assert "did you mean 'palora'? " in message("palora2")
    assert "declares it" in message("palora2")


def test_python_gets_the_hint(here: Path) -> None:
    (here / "pyproject.toml").write_text(DECLARED)
    with pytest.raises(UnknownNameError, match=r"no solvers called 'zigzag': .* declares it"):
        find("solvers", "zigzag")
    assert "zigzag" not in {entry.name for entry in entries("solvers")}


def test_a_kind_without_any_entry_gets_the_hint(here: Path) -> None:
    class Rare(Component, kind="nobody_registers_these"): ...

    with pytest.raises(UnknownNameError, match="none is registered; a part that was just added"):
        Rare.lookup("x")
    text = DECLARED.replace("moframework.solvers", "moframework.nobody_registers_these")
    (here / "pyproject.toml").write_text(text.replace("zigzag =", "x ="))
    with pytest.raises(UnknownNameError, match=r"none is registered; .* declares it"):
        Rare.lookup("x")
