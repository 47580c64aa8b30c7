"""The examples in docstrings say what happens."""

from __future__ import annotations

import doctest
import importlib.util
import pkgutil
from pathlib import Path

import pytest

import moframework
from tests.extras import with_extras

# The command line's entry point runs when it is imported.
NAMES = sorted(
    one.name for one in pkgutil.walk_packages(moframework.__path__, "moframework.") if "__main__" not in one.name
)


def has_examples(name: str) -> bool:
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None and ">>> " in Path(spec.origin).read_text()


WITH_EXAMPLES = [name for name in NAMES if has_examples(name)]


def test_there_are_examples() -> None:
    assert len(WITH_EXAMPLES) > 30


@pytest.mark.parametrize("name", with_extras(WITH_EXAMPLES))
def test_examples(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert (failed, tried > 0) == (0, True)
