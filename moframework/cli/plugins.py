"""Parts that other packages bring, as `moframework doctor` tells of them: each is imported and held to what its kind
asks."""

from __future__ import annotations

from moframework.cli.finding import Finding
from moframework.config import Entry, entries, find, kinds
from moframework.errors import MoframeworkError, nearest
from moframework.reference.catalog import KINDS
from moframework.reference.parts import interface_of

__all__ = ["plugins"]


def plugins() -> list[Finding]:
    """One finding for each part that another package registers, or that stands in a group of no kind."""
    found = []
    for kind in kinds():
        others = [entry for entry in entries(kind) if entry.package != "moframework"]
        look = _examined if kind in KINDS else _unknown
        found += [look(entry) for entry in others]
    return found or [Finding("plug-ins", "no other package brings parts")]


def _examined(entry: Entry) -> Finding:
    """Whether it can be found by its name, imported, and used as what it is registered as."""
    problem = None
    try:
        find(entry.kind, entry.name)
        interface_of(entry.kind).adopt(entry.load(), f"{entry.target} (package '{entry.package}')")
    except MoframeworkError as error:
        problem = str(error)
    except Exception as error:  # the others are still worth telling
        problem = f"looking at it fails: {type(error).__name__}: {error}"
    return Finding(f"{entry.kind}/{entry.name}", _origin(entry), problem=problem)


def _unknown(entry: Entry) -> Finding:
    guess = nearest(entry.kind, KINDS)
    meant = f'did you mean [project.entry-points."moframework.{guess}"]?' if guess else f"kinds: {', '.join(KINDS)}"
    problem = f"there is no kind '{entry.kind}', so nothing finds this part: {meant} Then `pip install` it again"
    return Finding(f"{entry.kind}/{entry.name}", _origin(entry), problem=problem)


def _origin(entry: Entry) -> str:
    return f"package {entry.package}, {entry.target}"
