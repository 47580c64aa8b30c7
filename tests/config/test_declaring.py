"""Which functions a reference may lead to, and that no other is called."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from moframework.config import Component, options_class, part, structure

SOURCE = """
from functools import partial
from pathlib import Path
from textwrap import dedent

from moframework.config import part

def _mark(): Path(__file__).with_name("called").touch()

def plain(x, times: int = 2): _mark()

def annotated(x, times: int = 2) -> float: _mark()

def otherwise(x) -> "str": _mark()

def unresolved(x) -> "no_such_name": _mark()

@part("scale")
def declared(x, times: int = 2): _mark()

@part("loss")
def a_loss(x): _mark()

half = partial(plain, times=1)

class Callable:
    def __call__(self, x): _mark()

ready = Callable()
"""


class Scale(Component, kind="test_scales"):
    """An interface that takes functions of x which return a float."""

    returns = float
    made: ClassVar[list[object]] = []

    @classmethod
    def from_function(cls, function: Callable[..., Any]) -> type[Component]:
        name = getattr(function, "__name__", "partial")
        found: type[Component] = options_class(function, name=name, bases=(Scale,), skip={"x", "text"})
        return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`own.py`, beside it a module of one's own, and an installed one, all with the same functions."""
    name = "m" + tmp_path.name
    (tmp_path / "own.py").write_text(SOURCE)
    (tmp_path / f"{name}_own.py").write_text(SOURCE)
    installed = tmp_path / "site-packages"
    installed.mkdir()
    (installed / f"{name}_installed.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(installed)
    return tmp_path


def named(folder: Path, where: str, name: str) -> tuple[Any, str]:
    """What a trusted reference leads to, and the fault; nothing was called."""
    module = {"own file": "./own.py", "installed file": f"./site-packages/m{folder.name}_installed.py"}.get(where)
    module = module or f"m{folder.name}_{where.split()[0]}"
    made, faults = structure({"python": f"{module}:{name}"}, Scale, base=folder, trust=True)
    assert not list(folder.rglob("called"))
    return made, "".join(fault.message for fault in faults)


@pytest.mark.parametrize("name", ["plain", "annotated", "otherwise", "unresolved", "declared", "half", "ready"])
def test_functions_of_ones_own_file_need_no_declaration(folder: Path, name: str) -> None:
    made, fault = named(folder, "own file", name)
    assert isinstance(made, Scale), fault


@pytest.mark.parametrize("name", ["annotated", "declared"])
def test_functions_of_ones_own_module_say_what_they_return(folder: Path, name: str) -> None:
    made, fault = named(folder, "own module", name)
    assert isinstance(made, Scale), fault
    assert made.times == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["plain", "otherwise", "unresolved", "half", "ready"])
def test_what_in_a_module_does_not_is_refused(folder: Path, name: str) -> None:
    _, fault = named(folder, "own module", name)
    assert f"m{folder.name}_own:{name} does not declare itself a scale, so it is not called" in fault
    assert "decorate it with @moframework.config.part('scale')" in fault


@pytest.mark.parametrize("where", ["installed module", "installed file"])
@pytest.mark.parametrize("name", ["plain", "annotated", "half", "ready"])
def test_functions_of_installed_packages_declare_themselves(folder: Path, where: str, name: str) -> None:
    _, fault = named(folder, where, name)
    assert "is a function of an installed package and does not declare itself a scale, so it is not called" in fault
    assert "./file.py:function" in fault
    made, fault = named(folder, where, "declared")
    assert isinstance(made, Scale), fault


def test_a_function_stands_only_where_it_is_declared_for(folder: Path) -> None:
    for where in ("own file", "own module", "installed module"):
        _, fault = named(folder, where, "a_loss")
        assert "declares itself a loss, but here a scale is wanted" in fault


@pytest.mark.parametrize(
    "reference", ["textwrap:dedent", f"{textwrap.__file__}:dedent", "./own.py:dedent", "os:getcwd"]
)
def test_functions_of_python_are_refused(folder: Path, reference: str) -> None:
    _, (fault,) = structure({"python": reference}, Scale, base=folder, trust=True)
    assert "is a function of an installed package" in fault.message


@pytest.mark.parametrize("reference", ["./own.py:Path.touch", "subprocess:Popen", "moframework.config:structure"])
def test_neither_are_classes_of_other_kinds_or_functions_of_ours(folder: Path, reference: str) -> None:
    _, (fault,) = structure({"python": reference}, Scale, base=folder, trust=True)
    assert "is a function of an installed package" in fault.message or "is not a scale" in fault.message


def test_a_reference_does_not_lead_into_other_modules(folder: Path) -> None:
    (folder / "hop.py").write_text("import os\n")
    _, (fault,) = structure({"python": "./hop.py:os.getcwd"}, Scale, base=folder, trust=True)
    assert "leads into another module, os" in fault.message


def test_the_decorator_returns_the_function() -> None:
    def function(x: float) -> float:
        return x

    assert part("scale")(function) is function
