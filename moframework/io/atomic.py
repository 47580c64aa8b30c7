"""Files that are written whole or not at all, so that a run killed at any instant leaves nothing half done."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import filelock

from moframework.errors import DataError

__all__ = [
    "PREFIX",
    "atomic_write",
    "file_lock",
    "keep_as",
    "move_into_place",
    "remove_leftovers",
    "write_bytes",
    "write_text",
]

PREFIX = ".unfinished-"
"""What the names of files begin with until they are whole."""


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8, newlines as given) to `path`, whole or not at all. See `atomic_write`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_text(Path(folder) / "note.txt", "λ")
    ...     (Path(folder) / "note.txt").read_text(encoding="utf-8")
    'λ'
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all. See `atomic_write`."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a fresh name in the folder of `path` for the caller to write; on leaving, it takes the place of `path`.

    The old file stays readable under `path` until the new one is safely on disk, even through a power cut: the content
    is flushed before the name changes, and the folder after it. When the block raises, `path` is untouched and the new
    file is removed. The temporary name ends as `path` does, for writers that choose a format by it. Who may read the
    file follows from the process's umask, however it was written.

    Args:
        path: the file to write; its folder must exist.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full.
    """
    temporary = path.with_name(f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
    try:
        temporary.touch(exist_ok=False)
        mode = temporary.stat().st_mode
        yield temporary
        if temporary.stat().st_mode != mode:  # safetensors 0.8.0 makes files that nobody else can read, whatever umask
            temporary.chmod(mode)
        _flush(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def move_into_place(made: Path, path: Path) -> None:
    """Let a whole file, or a folder of files, that was made on the same disk take the place of `path`: its content is
    flushed before the name changes. A folder takes the place of nothing, or of an empty folder."""
    for file in made.rglob("*") if made.is_dir() else [made]:
        if file.is_file():
            _flush(file)
    made.replace(path)
    _flush_folder(path.parent)


def keep_as(path: Path, other: Path) -> None:
    """Make the file at `path` readable as `other` too, in place of what was there: until `path` is replaced, both are
    one file, and `path` is never missing. Where the disk knows no such links, the file moves."""
    temporary = other.with_name(f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}-{other.name}")
    try:
        os.link(path, temporary)
    except OSError:
        path.replace(other)
        return
    try:
        temporary.replace(other)
    finally:
        temporary.unlink(missing_ok=True)  # nothing happens where both names were one file already


@contextlib.contextmanager
def file_lock(target: Path) -> Iterator[None]:
    """Hold the right to make `target`, whose folder is made, among all processes of this machine.

    Others wait. The right is freed when the process dies, however it does.

    Raises:
        DataError: the folder cannot be made or written.
    """
    lock = filelock.FileLock(target.with_name(f".{target.name}.lock"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise DataError(f"{target} cannot be written ({error}): choose another folder") from error
    try:
        yield
    finally:
        lock.release()


def remove_leftovers(folder: Path) -> tuple[Path, ...]:
    """Remove what a killed process left half written in `folder` and below it, and return the names removed.

    Only safe when no other process is writing there: `moframework solve --resume` calls it before it begins.
    """
    leftovers = tuple(sorted(folder.rglob(f"{PREFIX}*")))
    for leftover in leftovers:
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
    return leftovers


def _flush(path: Path) -> None:
    # Opened for writing: Windows flushes nothing through a handle that can only read.
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # there a folder cannot be opened, and renaming is durable by itself
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
