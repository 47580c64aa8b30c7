"""Which code may be executed because plain data names it: that which the caller trusts, and no other."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import cast

from moframework.config.declaring import check_declared
from moframework.config.options import Component
from moframework.config.references import Reference, know, known, lasting_name, remember
from moframework.errors import MoframeworkError

__all__ = ["IMPORTS", "Trust", "part_of_reference"]

Trust = bool | Collection[object]
"""What may happen where data names code, as `python: ./file.py:Name`.

True: it is imported. False: nothing is. A list of classes and functions: each stands for what is named as it is, from
whatever file or module, and nothing is imported.

With neither, a part that this process has already imported by the same reference is used, as long as the file is the
same; so are the classes of moframework itself.
"""

IMPORTS = logging.getLogger("moframework.imports")
"""Told, at level INFO, which file is about to be run or which module to be imported for a reference."""


def part_of_reference(
    reference: Reference, interface: type[Component], trust: Trust, place: str = "a reference"
) -> type[Component]:
    """The class of the part that a reference names.

    Args:
        reference: what data names.
        interface: the kind of part that is wanted.
        trust: see `Trust`.
        place: which key names it, for the words before something is imported.

    Raises:
        MoframeworkError: it is not trusted, and nothing was imported; or it cannot be imported, or is no such part, and
            was not called.
    """
    if not isinstance(trust, bool):
        given = _handed_in(trust, reference.name)
        if given is not None:
            return interface.adopt(given, f"'{reference.name}', which is handed in,")
    if trust is not True:
        found = _of_moframework(reference) or known(reference, interface)
        if found is None:
            raise MoframeworkError(_refusal(reference))
        return interface.adopt(found, str(reference))
    if not reference.loaded:
        IMPORTS.info("%s names %s: this will %s", place, reference.name, reference.action)
    loaded = reference.load()
    check_declared(loaded, interface, reference)
    cls = interface.adopt(loaded, str(reference))
    know(cls, str(reference))
    # A class or function of a module is found by its own name, and may be registered; an object has none.
    if not isinstance(reference.where, str) or isinstance(loaded, Component):
        lasting = lasting_name(reference)
        know(cls, lasting)
        remember(cls, {"python": lasting})
    return cls


def _handed_in(trust: Collection[object], name: str) -> object:
    """The one of the given classes and functions that is called so, or None."""
    if isinstance(trust, str) or not isinstance(trust, Collection) or not all(callable(one) for one in trust):
        raise TypeError(f"trust is True, False, or a list of classes and functions, but it is {trust!r}")
    names = ("__qualname__", "__name__")
    found = [one for one in trust if any(getattr(one, key, None) == name for key in names)]
    if len(found) > 1:
        raise MoframeworkError(f"{len(found)} of the parts that are handed in are called '{name}'; hand in one")
    return found[0] if found else None


def _of_moframework(reference: Reference) -> type[Component] | None:
    """A part of moframework itself, such as `moframework.testing.subset:Subset`."""
    if not isinstance(reference.where, str) or reference.where.partition(".")[0] != "moframework":
        return None
    found = reference.load()
    ours = isinstance(found, type) and issubclass(found, Component) and found.__module__.startswith("moframework.")
    return cast(type[Component], found) if ours else None


def _refusal(reference: Reference) -> str:
    why = ", which has changed since this process ran it" if reference.changed else ""
    return (
        f"'{reference}' is code, and loading executes none that is not trusted: this would {reference.action}{why}. If "
        f"you know what it does, load with trust=True (--trust on the command line), or hand in what it names: "
        f"trust=[{reference.name.rpartition('.')[2]}]"
    )
