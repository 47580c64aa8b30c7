"""Files of data sets: where they are, how they are read and cached. Nothing here is ever left half written."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import platformdirs
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from moframework.errors import DataError
from moframework.io.atomic import atomic_write, file_lock
from moframework.io.unpacking import open_gzip, unpacked_limit

__all__ = ["cache_folder", "cached_tensors", "data_folder", "file_stamp", "fingerprint", "read_idx"]

_CHUNK = 1 << 20


def data_folder(chosen: Path | None = None) -> Path:
    """Where data sets are: `chosen`, else the environment variable MOFRAMEWORK_DATA, else `data` in the user's cache.

    >>> data_folder(Path("my/data")).as_posix()
    'my/data'
    """
    if chosen is not None:
        return chosen.expanduser()
    if configured := os.environ.get("MOFRAMEWORK_DATA"):
        return Path(configured).expanduser()
    return cache_folder() / "data"


def cache_folder() -> Path:
    """Where prepared data is kept: the environment variable MOFRAMEWORK_CACHE, else the user's cache folder."""
    if configured := os.environ.get("MOFRAMEWORK_CACHE"):
        return Path(configured).expanduser()
    return platformdirs.user_cache_path("moframework", appauthor=False)


_SEEN: dict[Path, tuple[int, int]] = {}


def file_stamp(path: Path) -> tuple[int, int]:
    """Time of change and size of a file, by which what was read from it is kept until it changes.

    Of a file that this process has seen and that is gone by now, what it was: a run that has its data in memory does
    not need the file again.

    Raises:
        OSError: there is no such file, and there was none before.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        if path in _SEEN:
            return _SEEN[path]
        raise
    _SEEN[path] = (status.st_mtime_ns, status.st_size)
    return _SEEN[path]


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """An array in the IDX format of MNIST, plain or (when the name ends in .gz) compressed.

    The format: two zero bytes, type code 8 for unsigned bytes, the number of dimensions, each size as a big-endian
    32-bit integer, then the values.

    Returns:
        uint8 array of the sizes the file states.

    Raises:
        DataError: the file is not of that format, or is cut short.
        OSError: it cannot be read.
    """
    try:
        with open_gzip(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _idx_array(file, path, unpacked_limit(path.stat().st_size))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}): delete it and get it again") from error


def _idx_array(file: IO[bytes], path: Path, limit: int) -> npt.NDArray[np.uint8]:
    """What an IDX file holds; nothing of the size that it states is made before that is compared with `limit`."""
    head = file.read(4)
    if len(head) < 4 or head[:3] != b"\x00\x00\x08":
        raise DataError(f"{path} is not an IDX file of unsigned bytes: delete it and get it again")
    sizes = file.read(4 * head[3])
    shape = tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, len(sizes), 4))
    size = math.prod(shape)
    content = file.read(size + 1) if size <= limit else b""
    if len(sizes) != 4 * head[3] or len(content) != size:
        held = f"{len(content)} or more" if len(content) > size else len(content) if size <= limit else "fewer"
        raise DataError(
            f"{path} is damaged: it states {size} values of shape {shape}, but holds {held}; delete it and get it again"
        )
    return np.frombuffer(content, dtype=np.uint8).reshape(shape).copy()


def fingerprint(paths: Sequence[Path]) -> str:
    """A hash of the contents of `paths`, in that order, wherever they are: part of a cache's key.

    Raises:
        OSError: one of them cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        digest.update(f"{path.stat().st_size}:".encode())
        with path.open("rb") as file:
            while block := file.read(_CHUNK):
                digest.update(block)
    return digest.hexdigest()


def cached_tensors(
    name: str,
    key: Mapping[str, Any],
    build: Callable[[], Mapping[str, Tensor]],
    *,
    only: str = "",
    folder: Path | None = None,
) -> dict[str, Tensor]:
    """Tensors that `build` makes once, and that are read from the cache from then on.

    The cache is one safetensors file for each `key`. Several processes may ask at once: one builds, the others wait and
    read. A file that cannot be read, cut short by a full disk for example, is built anew.

    Args:
        name: what the file is called, before the key.
        key: everything the tensors depend on, as plain data: parameters, the `fingerprint` of source files, and a
            number that changes when the construction does.
        build: makes all tensors.
        only: return (and read) only tensors whose names begin with this; the rest of the name is kept whole.
        folder: where the file is kept; None for the user's cache folder.

    Returns:
        the tensors by name, on the CPU.

    Raises:
        DataError: the cache folder cannot be written.
    """
    described = json.dumps(dict(key), sort_keys=True)
    digest = hashlib.blake2b(described.encode(), digest_size=10).hexdigest()
    path = (cache_folder() if folder is None else folder) / f"{name}-{digest}.safetensors"
    kept = _load(path, only)
    if kept is not None:
        return kept
    with file_lock(path):
        kept = _load(path, only)
        if kept is not None:
            return kept
        # As they will be read: of another memory format, convolutions of the first run would round otherwise.
        made = {k: v.contiguous() for k, v in build().items()}
        try:
            with atomic_write(path) as unfinished:
                save_file(made, unfinished, metadata={"key": described})
        except (OSError, SafetensorError) as error:
            raise DataError(
                f"{path} cannot be written ({error}): free some space, or set MOFRAMEWORK_CACHE to another folder"
            ) from error
    return {k: v for k, v in made.items() if k.startswith(only)}


def _load(path: Path, only: str) -> dict[str, Tensor] | None:
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            return {k: file.get_tensor(k) for k in file.keys() if k.startswith(only)}  # noqa: SIM118 (not a mapping)
    except (OSError, SafetensorError):
        return None
