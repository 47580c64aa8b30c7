"""What can be a path at all: the system refuses other texts with errors of different kinds."""

from __future__ import annotations

import os
from pathlib import PurePath

__all__ = ["path_fault"]

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
