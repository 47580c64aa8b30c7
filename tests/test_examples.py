"""The examples in docstrings say what happens, and all that users name has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path

import pytest
from attrs import frozen

import moframework
from moframework.config import Component, entries
from moframework.errors import SpecError
from moframework.reference.catalog import PACKAGE_KINDS, all_kinds
from moframework.reference.parts import find_part
from moframework.run.plan import plan
from moframework.spec import Spec
from tests.extras import marks_of_part, with_extras
from tests.fragments import fragments, names_part, read, with_files
from tests.test_layers import MODULES

# The command line's entry point runs when it is imported.
WITH_EXAMPLES = sorted(
    name
    for name, path in MODULES.items()
    if "__main__" not in name and ">>> " in Path(path).read_text(encoding="utf-8")
)


@frozen
class Part:
    """A part that a spec can name, of a module that is here."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    def find(self) -> type[Component]:
        return find_part(self.kind, self.name)


PARTS = [
    Part(kind, entry.name)
    for kind in all_kinds()
    if kind not in PACKAGE_KINDS
    for entry in entries(kind)
    if entry.target.partition(":")[0] in MODULES
]
PLANNED = ("solvers", "objectives")
"""Kinds whose examples in YAML are also held against data and a network."""


def test_there_are_examples() -> None:
    assert len(WITH_EXAMPLES) > 150
    assert len(PARTS) > 180


@pytest.mark.parametrize("name", with_extras(WITH_EXAMPLES, examples=True))
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # examples may write, for example into `runs/`
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert (failed, tried > 0) == (0, True)


@pytest.mark.parametrize("name", moframework.__all__)
def test_every_public_name_has_an_example(name: str) -> None:
    found = getattr(moframework, name)
    assert found.__module__ in WITH_EXAMPLES
    assert ">>> " in (inspect.getdoc(found) or ""), f"moframework.{name}: add an example with >>> to its docstring"


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_every_part_has_an_example(part: Part) -> None:
    found = part.find()
    text = vars(found).get("__doc__") or ""
    assert (">>> " in text and found.__module__ in WITH_EXAMPLES) or fragments(text), (
        f"{part}: add an example to its docstring, with >>> or as a spec in YAML"
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_files(tmp_path_factory.mktemp("fragments"))


@pytest.mark.parametrize(
    "part", [pytest.param(one, marks=marks_of_part(one.kind, one.name), id=str(one)) for one in PARTS]
)
def test_examples_in_yaml(part: Part, folder: Path) -> None:
    found = part.find()
    for fragment in fragments(found.__doc__):
        spec = read(fragment, folder)
        assert names_part(spec, found), f"the example of {part} is one of something else:\n{fragment}"
        if part.kind in PLANNED:
            assert isinstance(spec, Spec)
            plan(spec)


def test_a_misspelt_key_of_an_example_is_an_error(tmp_path: Path) -> None:
    for fragment in ("solver: {name: palora, rnk: 4}\n", "executor: {jobz: 2}\n", "backbone: {name: mlp, hid: [2]}\n"):
        with pytest.raises(SpecError, match="unknown key"):
            read(fragment, tmp_path)
    with pytest.raises(ValueError, match="no spec, benchmark or problem"):
        read("solvr: palora\n", tmp_path)
    assert not names_part(read("solver: phn\n", tmp_path), find_part("solvers", "palora"))
