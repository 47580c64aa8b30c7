"""What may stand in a part's place by reference: a function says that it is meant to."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from moframework.config import registry
from moframework.config.options import Component
from moframework.config.references import Reference
from moframework.config.signature import return_type
from moframework.errors import MoframeworkError

__all__ = ["check_declared", "part"]

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__moframework_part__"


def part(noun: str) -> Callable[[F], F]:
    """Declare a plain function as a part, so that a spec may name it by its module: `python: package.module:function`.

    Functions in a file of your own (`python: ./file.py:function`) and those that entry points name need no declaration;
    nor do functions of a module of your own, which is not installed, with the right annotation of what they return.

    Args:
        noun: the part that it is: `loss`, `objective`, `backbone`, `problem`.

    >>> @part("loss")
    ... def quartic(output, target):
    ...     return (output.squeeze(1) - target) ** 4
    """

    def declare(function: F) -> F:
        setattr(function, _MARK, noun)
        return function

    return declare


def check_declared(found: object, interface: type[Component], reference: Reference) -> None:
    """Refuse a function that was not meant to stand where a reference puts it, before anyone calls it.

    Classes and objects tell by their type what they are, which `Component.adopt` checks.

    Args:
        found: what the reference led to.
        interface: the kind of part that is wanted.
        reference: for its place, and for the message.

    Raises:
        MoframeworkError: it is a function that could be called here and does not say that it is such a part; the text
            says how it would.
    """
    if isinstance(found, type | Component) or not callable(found) or not _takes_functions(interface):
        return
    noun = interface.noun()
    declared = getattr(found, _MARK, None)
    if declared is not None and declared != noun:
        raise MoframeworkError(f"{reference} declares itself a {declared}, but here a {noun} is wanted")
    if declared is not None or _is_registered(interface, reference):
        return
    own, in_file = _is_own(found, reference), isinstance(reference.where, Path)
    if own and (in_file or _returns(found, interface.returns)):
        return
    decorate = f"decorate it with @moframework.config.part('{noun}')"
    if not own:
        raise MoframeworkError(
            f"{reference} is a function of an installed package and does not declare itself a {noun}, so it is not "
            f"called: if it is yours, {decorate}; else call it in a function of a file of your own, ./file.py:function"
        )
    annotate = "" if interface.returns is None else f"annotate what it returns (-> {interface.returns.__name__}), or "
    raise MoframeworkError(f"{reference} does not declare itself a {noun}, so it is not called: {annotate}{decorate}")


def _takes_functions(interface: type[Component]) -> bool:
    return interface.from_function.__func__ is not Component.from_function.__func__  # type: ignore[attr-defined]


def _is_registered(interface: type[Component], reference: Reference) -> bool:
    """Whether an entry point names it, which is a declaration as well."""
    kind = interface.kind
    return kind in registry.kinds() and any(entry.target == str(reference) for entry in registry.entries(kind))


def _returns(found: Callable[..., Any], wanted: type | None) -> bool:
    annotated = return_type(found)
    return wanted is not None and isinstance(annotated, type) and issubclass(annotated, wanted)


def _is_own(found: object, reference: Reference) -> bool:
    """Whether it was written, and is named, where nothing is installed: in files or modules of the user's."""
    # An object that can be called, such as a partial function, does not tell where it was made.
    places = [reference.where, str(found.__module__)] if hasattr(found, "__qualname__") else [reference.where]
    return all(_is_own_place(place) for place in places)


def _is_own_place(place: Path | str) -> bool:
    if isinstance(place, Path):
        return not _is_installed(place)
    if place == "__main__":
        return True
    file = getattr(sys.modules.get(place), "__file__", None)  # what is built into Python has none
    return file is not None and place.partition(".")[0] != "moframework" and not _is_installed(Path(file))


def _is_installed(file: Path) -> bool:
    """Whether a file belongs to Python or to a package that an installer has put there."""
    file = file.resolve()
    library = {Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "platstdlib")}
    return not {"site-packages", "dist-packages"}.isdisjoint(file.parts) or not library.isdisjoint(file.parents)
