"""Files of UCI's repository that a user puts into the data folder: found there, or told where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from moframework.data.cache import data_folder
from moframework.errors import DataError

__all__ = ["uci_files"]


def uci_files(
    problem: str, root: Path | None, folders: Sequence[str], files: Sequence[str], page: str
) -> tuple[Path, ...]:
    """Where the files of a data set are, plain or as .gz.

    Args:
        problem: who needs them, for the message.
        root: the data folder; None for that of the user.
        folders: in which they may be there; a message names the first.
        files: their names.
        page: where they can be had.

    Raises:
        DataError: one is in none of the folders.
    """
    base = data_folder(root)
    found = []
    for name in files:
        places = [base / folder / file for folder in folders for file in (name, f"{name}.gz")]
        existing = [place for place in places if place.is_file()]
        if not existing:
            raise DataError(
                f"{problem} needs {' and '.join(files)} (plain or .gz) in {base / folders[0]}, but there is no {name}. "
                f"Get {'it' if len(files) == 1 else 'them'} from {page} and unpack there, or name another folder with "
                f"the option `root` or the environment variable MOFRAMEWORK_DATA: the one with the folder {folders[0]}."
            )
        found.append(existing[0])
    return tuple(found)
