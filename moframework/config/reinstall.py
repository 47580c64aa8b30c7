"""Names that a `pyproject.toml` declares and the installation does not know: what to say of them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["reinstall_hint"]

_LARGEST = 2**20  # bytes; what is larger was written by no one


def reinstall_hint(kind: str, name: str, *, guess: bool = False) -> str:
    """What to do when a part that was just added to a `pyproject.toml` is not found, to be put behind a message.

    Names are read from what is installed, so one that was added since is not there. Where the file that declares it
    lies in the working directory or above, the hint says so; else it is general, and left out where a near name
    explains the mistake better. It never raises.

    Args:
        kind: of the part, as in the group `moframework.KIND`.
        name: that was not found.
        guess: whether the message proposes a near name already.

    Returns:
        `; …`, a sentence without its full stop, or nothing.
    """
    for file in _files():
        if _declares(file, kind, name):
            folder = file.parent
            where = "." if folder == _here() else shlex.quote(str(folder))
            return (
                f"; {file} declares it, but what is installed does not have it yet: "
                f"run `pip install -e {where}` (again, after each change of its entry points)"
            )
    if guess:
        return ""
    return "; a part that was just added to a pyproject.toml is found after `pip install -e .` in that folder"


def _here() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # the working directory was removed
        return None


def _files() -> Iterator[Path]:
    """Each `pyproject.toml` in the working directory and above, the nearest first."""
    here = _here()
    for folder in () if here is None else (here, *here.parents):
        file = folder / "pyproject.toml"
        try:
            if file.is_file() and file.stat().st_size <= _LARGEST:
                yield file
        except OSError:
            continue


def _declares(file: Path, kind: str, name: str) -> bool:
    """Whether `file` has an entry point `name` of this kind. False for what cannot be read."""
    import tomllib  # not at every start: it takes milliseconds, and is needed after a mistake

    try:
        found: Any = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    for key in ("project", "entry-points", f"moframework.{kind}"):
        found = found.get(key) if isinstance(found, dict) else None
    return isinstance(found, dict) and name in found
