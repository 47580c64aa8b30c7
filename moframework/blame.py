"""Errors of code that is not ours as errors of the spec, with the line that they came from."""

from __future__ import annotations

import contextlib
import functools
import os
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from moframework.errors import MoframeworkError, SpecError

__all__ = ["blamed", "line_of"]

_STANDARD = sysconfig.get_path("stdlib")
"""Python's own, which holds the packages of others too."""


@contextlib.contextmanager
def blamed(
    what: str,
    where: str | Callable[[BaseException], str],
    error: type[MoframeworkError] = SpecError,
    *,
    only_of_others: bool = False,
) -> Iterator[None]:
    """What goes wrong inside as an error of the spec: during what, in which part of it, at which line of code that is
    neither ours nor torch's.

    Args:
        what: is done inside.
        where: key path of the part, or what finds it from the error.
        error: class of what is raised.
        only_of_others: errors that passed through no such line stay as they are, for they are our own.

    Raises:
        MoframeworkError: one of that class, in the place of any other error. Those raised on purpose stay as they are,
            and that a module is not installed, of which the command line tells what installs it.
    """
    try:
        yield
    except (MoframeworkError, ModuleNotFoundError):
        raise
    except Exception as found:
        line = line_of(found)
        if only_of_others and not line:
            raise
        part = where if isinstance(where, str) else where(found)
        text = str(found).strip() or "without a word"
        raise error(f"{part}: {what} fails: {type(found).__name__}: {text}{line}") from found


def line_of(error: BaseException) -> str:
    """The innermost line of a user's own code that an error passed through, in brackets after a blank; nothing where
    there is none."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        file = frame.f_code.co_filename
        standard = file.startswith(_STANDARD) and "site-packages" not in file
        # The zoo may lie elsewhere than the package does.
        ours = file.startswith(_ours()) or str(frame.f_globals.get("__name__")).startswith("moframework.")
        if Path(file).is_file() and not standard and not ours:
            return f" ({file}:{line})"
    return ""


@functools.cache
def _ours() -> tuple[str, ...]:
    """Folders of code whose lines say nothing to a user; nothing is imported for it."""
    places = [place for name in ("torch", "numpy", "attr") for place in _folders(name)]
    return tuple(f"{folder}{os.sep}" for folder in (str(Path(__file__).parent), *places))


def _folders(package: str) -> list[str]:
    found = find_spec(package)
    return [] if found is None else list(found.submodule_search_locations or ())
