"""Several files that take their place together, once all of them are whole."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from moframework.errors import RunError
from moframework.io.atomic import PREFIX, move_into_place

__all__ = ["check_free", "staged"]


def check_free(paths: Sequence[Path], overwrite: bool) -> None:
    """Raise `RunError` where one of some files exists that is not to be overwritten, or can never be."""
    for path in paths:
        if path.is_dir():
            raise RunError(f"{path} is a folder, where a file would have to be: choose another name")
        if path.exists() and not overwrite:
            raise RunError(f"{path} exists. Choose another name, or replace it with --overwrite")


@contextlib.contextmanager
def staged(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield a new folder in which files are made under the names that they will have; on leaving they take their
    places, the first of `paths` last, and the folder is removed. When the block raises, nothing is left.

    Args:
        paths: of files in one folder, which is made if missing; or of one folder. Older ones are replaced, and where no
            new one was made they are removed.

    Raises:
        OSError: the folder cannot be written.
    """
    home = paths[0].parent
    made = [folder for folder in (home, *home.parents) if not folder.exists()]
    home.mkdir(parents=True, exist_ok=True)
    stage = home / f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    stage.mkdir()
    try:
        yield stage
        for path in reversed(paths):
            if (stage / path.name).exists():
                _move(stage / path.name, path, stage)
            else:
                path.unlink(missing_ok=True)
        made = []
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _move(new: Path, path: Path, stage: Path) -> None:
    if path.is_dir():  # folders do not replace each other
        path.rename(stage / f"{path.name}.before")
    move_into_place(new, path)
