"""Errors of code that is not ours as errors of the spec, with the line that they came from."""

from __future__ import annotations

import contextlib
import os
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from moframework.errors import MoframeworkError, SpecError

__all__ = ["blamed"]

_OURS = tuple(
    f"{folder}{os.sep}" for folder in (Path(__file__).parents[1], *(Path(str(m.__file__)).parent for m in (torch, np)))
)
"""Folders of code whose lines say nothing to a user."""
_STANDARD = sysconfig.get_path("stdlib")
"""Python's own, which holds the packages of others too."""


@contextlib.contextmanager
def blamed(
    what: str, where: str | Callable[[BaseException], str], error: type[MoframeworkError] = SpecError
) -> Iterator[None]:
    """What goes wrong inside as an error of the spec: during what, in which part of it, at which line of code that is
    neither ours nor torch's.

    Args:
        what: is done inside.
        where: key path of the part, or what finds it from the error.
        error: class of what is raised.

    Raises:
        MoframeworkError: one of that class, in the place of any other error. Those raised on purpose stay as they are,
            and that a module is not installed, of which the command line tells what installs it.
    """
    try:
        yield
    except (MoframeworkError, ModuleNotFoundError):
        raise
    except Exception as found:
        part = where if isinstance(where, str) else where(found)
        text = str(found).strip() or "without a word"
        raise error(f"{part}: {what} fails: {type(found).__name__}: {text}{_line(found)}") from found


def _line(error: BaseException) -> str:
    """The innermost line of a user's own code, in brackets; nothing where there is none."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        file = frame.f_code.co_filename
        standard = file.startswith(_STANDARD) and "site-packages" not in file
        if Path(file).is_file() and not standard and not file.startswith(_OURS):
            return f" ({file}:{line})"
    return ""
