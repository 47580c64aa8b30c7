"""Names of the code as objects."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["PUBLIC", "attribute", "public"]

PUBLIC: tuple[str, ...] = tuple(importlib.import_module("moframework").__all__)
"""The public names of the package, sorted."""


def public(name: str) -> Any:
    """What a public name of the package means.

    >>> public("SpecError").__module__
    'moframework.errors'
    """
    return getattr(importlib.import_module("moframework"), name)


def attribute(target: str) -> Any:
    """What `module:name` means.

    >>> attribute("moframework.errors:SpecError").__name__
    'SpecError'
    """
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
