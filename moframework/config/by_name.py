"""Classes of an installed package by name, as options that are checked against their signatures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from moframework.config.options import Component
from moframework.errors import UnknownNameError, nearest

__all__ = ["by_name", "classes_of"]

T = TypeVar("T")


def by_name(what: str, name: str, known: Mapping[str, type], make: Callable[[str], Any]) -> type[Component]:
    """The option class that `make` gives for a name.

    Args:
        what: noun, for the message.
        known: all names.
        make: from a known name to its option class.

    Raises:
        UnknownNameError: nothing has that name; the text proposes the nearest.
    """
    if name not in known:
        guess = nearest(name, known)
        hint = f" did you mean '{guess}'?" if guess else ""
        raise UnknownNameError(f"no {what} called '{name}':{hint} allowed: {', '.join(sorted(known))}")
    return cast(type[Component], make(name))


def classes_of(
    module: Any, base: type[T], left_out: frozenset[str], spelled: Callable[[str], str]
) -> dict[str, type[T]]:
    """The classes of a module that derive from `base`, by the names that a spec gives them.

    Args:
        left_out: names of classes that a spec cannot use.
        spelled: from the name of a class to that in a spec.
    """
    return {
        spelled(name): value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base) and name not in left_out and not name.startswith("_")
    }
