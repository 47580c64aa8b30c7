"""Names to classes, through entry points: built-ins and plug-ins come in by the same door.

A package registers a part in `pyproject.toml`::

    [project.entry-points."moframework.schedules"]
    spiral = "my_package.spiral:Spiral"

Listing names imports nothing. A broken plug-in harms only itself: its error is raised when it is asked for.
"""

from __future__ import annotations

import functools
from importlib import metadata
from typing import Any

from attrs import frozen

from moframework.config.reinstall import reinstall_hint
from moframework.errors import MoframeworkError, UnknownNameError, nearest, shortened

__all__ = ["Entry", "entries", "find", "kinds"]

PREFIX = "moframework."


@frozen
class Entry:
    """One registered name: its kind, where its object is defined, and the package that brought it."""

    kind: str
    name: str
    target: str
    package: str

    def load(self) -> Any:
        """Import and return the object. Raises `MoframeworkError` naming the package when that fails."""
        point = metadata.EntryPoint(self.name, self.target, PREFIX + self.kind)
        try:
            return point.load()
        except AttributeError as error:
            raise MoframeworkError(
                f"{self.kind} '{self.name}': package '{self.package}' has no {self.target}: {error}"
            ) from error
        except Exception as error:  # whatever its code does when it is imported
            told = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
            raise MoframeworkError(
                f"{self.kind} '{self.name}' comes from package '{self.package}' ({self.target}), "
                f"which cannot be imported: {told}"
            ) from error


@functools.cache
def _all() -> dict[str, dict[str, tuple[Entry, ...]]]:
    found: dict[str, dict[str, tuple[Entry, ...]]] = {}
    seen: set[tuple[str, str, str, str]] = set()
    for distribution in metadata.distributions():
        points = [point for point in distribution.entry_points if point.group.startswith(PREFIX)]
        package = (points and distribution.metadata["Name"]) or "?"  # slow to read, and most packages have none of ours
        for point in points:
            kind = point.group.removeprefix(PREFIX)
            key = (kind, point.name, point.value, package)
            if key in seen:  # the same distribution found twice on sys.path
                continue
            seen.add(key)
            names = found.setdefault(kind, {})
            names[point.name] = (*names.get(point.name, ()), Entry(kind, point.name, point.value, package))
    return found


def kinds() -> tuple[str, ...]:
    """All kinds of parts, sorted."""
    return tuple(sorted(_all()))


def entries(kind: str) -> tuple[Entry, ...]:
    """Everything registered under `kind`, sorted by name. Imports nothing.

    Raises:
        UnknownNameError: there is no such kind.
    """
    if kind not in _all():
        guess = nearest(kind, kinds())
        hint = f"; did you mean '{guess}'?" if guess else ""
        raise UnknownNameError(f"there is no kind '{kind}'{hint} Kinds: {', '.join(kinds())}")
    return tuple(entry for _, same in sorted(_all()[kind].items()) for entry in same)


def find(kind: str, name: str) -> Entry:
    """The entry called `name`.

    Raises:
        UnknownNameError: nothing has that name; the text proposes the nearest, or to install again what declares it.
        MoframeworkError: two packages claim the name; the text shows both.
    """
    found = _all().get(kind, {}).get(name, ())
    if len(found) == 1:
        return found[0]
    if found:
        claims = " and ".join(f"{e.package} ({e.target})" for e in found)
        raise MoframeworkError(f"{kind} '{name}' is claimed by {claims}; uninstall one of them")
    names = [entry.name for entry in entries(kind)]
    guess = nearest(name, names)
    hint = f" did you mean '{guess}'?" if guess else ""
    if name.startswith("python:"):
        hint = f" `python` is a key in the place of `name`: {{python: {shortened(name[7:].strip())}}};"
    raise UnknownNameError(
        f"no {kind} called '{name}':{hint} allowed: {', '.join(names)} (`moframework list {kind}` tells more)"
        f"{reinstall_hint(kind, name, guess=guess is not None)}"
    )
