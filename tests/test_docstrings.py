"""What is public says what it promises: a method in a docstring of its own, or that of the method it overrides. (Ruff
looks at modules, classes and functions.)"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.extras import with_extras
from tests.test_layers import MODULES


def public_classes(module: str) -> Iterator[type]:
    for name, value in vars(importlib.import_module(module)).items():
        if isinstance(value, type) and value.__module__ == module and not name.startswith("_"):
            yield value


def undocumented(cls: type) -> Iterator[str]:
    """Its public methods and properties that neither it nor a base of ours says anything of."""
    bases = [base for base in cls.__mro__ if base is cls or base.__module__.startswith(("moframework", __name__))]
    for name, value in vars(cls).items():
        function = value.fget if isinstance(value, property) else inspect.unwrap(getattr(value, "__func__", value))
        own = inspect.isfunction(function) and function.__qualname__.startswith(f"{cls.__qualname__}.")
        if own and not name.startswith("_") and not any(_says(base, name) for base in bases):
            yield name


def _says(cls: type, name: str) -> bool:
    return bool((getattr(vars(cls).get(name), "__doc__", None) or "").strip())


@pytest.mark.parametrize("module", with_extras(sorted(MODULES)))
def test_public_methods_are_documented_where_they_are_declared(module: str) -> None:
    path = Path(MODULES[module])
    if path.name == "__main__.py":
        pytest.skip("running it is its purpose")
    missing = [f"{cls.__name__}.{name}" for cls in public_classes(module) for name in undocumented(cls)]
    assert not missing, f"{module}: nothing says what these promise: {', '.join(missing)}"


class Base:
    """An interface."""

    def said(self) -> None:
        """What it promises."""

    def unsaid(self) -> None: ...


class Derived(Base):
    """Has some of it, and more."""

    def said(self) -> None: ...

    def unsaid(self) -> None: ...

    @property
    def added(self) -> int:
        return 1

    @classmethod
    def made(cls) -> None: ...

    def _private(self) -> None: ...


def test_what_is_missing_is_found() -> None:
    assert list(undocumented(Base)) == ["unsaid"]
    assert list(undocumented(Derived)) == ["unsaid", "added", "made"]
