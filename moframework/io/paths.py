"""What can be a path at all, for the system refuses other texts with errors of different kinds; and which folder may
have been meant by one that is not there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path, PurePath

from moframework.errors import nearest

__all__ = ["nearest_folder", "path_fault"]

# Of Linux, and of all other systems or below theirs.
_PATH_BYTES, _NAME_BYTES = 4096, 255


def path_fault(path: str | PurePath) -> str | None:
    """Why `path` can be no path on any system, or None. Nothing is looked up.

    >>> path_fault("specs/quickstart.yaml") is None, path_fault("x" * 300)
    (True, 'one of its names has 300 bytes, and 255 are the most')
    """
    try:
        parts = [len(os.fsencode(part)) for part in str(path).split("/")]
    except UnicodeEncodeError:
        return "it holds characters that no file name has"
    if "\0" in str(path):
        return "it holds the character \\0"
    if sum(parts) + len(parts) - 1 >= _PATH_BYTES:
        return f"it has {sum(parts) + len(parts) - 1:,} bytes, and {_PATH_BYTES - 1:,} are the most"
    longest = max(parts)
    return f"one of its names has {longest} bytes, and {_NAME_BYTES} are the most" if longest > _NAME_BYTES else None


def nearest_folder(path: Path, holds: Callable[[Path], bool]) -> Path | None:
    """The folder that is most like `path` among those for which `holds` is true: one beside it, one of the same place
    in a folder whose name is misspelt, one inside it, or the one that it lies in; None where there is none."""
    for parent in (path.parent, _beside(path.parent)):
        guess = None if parent is None else nearest(path.name, _names(parent, holds))
        if parent is not None and guess is not None:
            return parent / guess
    inside = sorted(_names(path, holds))
    if inside:
        return path / (nearest(path.name, inside) or inside[0])
    return next((above for above in path.parents if above.name and holds(above)), None)


def _beside(folder: Path) -> Path | None:
    """The folder beside one that is not there whose name is the most like it."""
    if folder.is_dir() or not folder.name:
        return None
    guess = nearest(folder.name, _names(folder.parent, Path.is_dir))
    return folder.parent / guess if guess else None


def _names(folder: Path, holds: Callable[[Path], bool]) -> list[str]:
    try:
        return [one.name for one in folder.iterdir() if holds(one)]
    except OSError:
        return []
