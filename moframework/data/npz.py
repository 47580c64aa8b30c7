"""The data source `npz`: arrays in a numpy .npz file."""

from __future__ import annotations

import functools
import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moframework.config import config, option
from moframework.data.dataset import DataSource, TensorData
from moframework.data.splitting import SPLITS, Split, check_fractions, check_split, random_split
from moframework.errors import DataError, shortened
from moframework.io.unpacking import unpacked_limit

__all__ = ["NPZ", "read_npy", "read_npz"]


@config
class NPZ(DataSource):
    """Arrays in a numpy .npz file: `inputs` (n, ...), and each target under its key (n, ...).

    Floating-point arrays are read as float32 and must be finite, but for targets, in which nan means unknown; integers
    and booleans as int64, for classes, where -100 means unknown unless the loss says otherwise (`ignore_index`). Inputs
    of 8-bit unsigned integers are images, whose batches are float32 in [0, 1]. An array `split` (n,) with 0, 1 or 2
    puts a sample into train, val or test; without it they are split at random by `fractions`. Pickled objects are
    refused.

    In a problem that a spec declares::

        problem:
          data: {name: npz, path: houses.npz, fractions: [0.8, 0.1, 0.1]}
          backbone: {name: mlp, hidden: [64]}
          tasks:
            price: {loss: mse, metrics: [mae]}
            sold: {loss: binary_cross_entropy, metrics: [accuracy]}
    """

    path: Path = option(help="the file")
    fractions: tuple[float, float, float] = option(
        (0.7, 0.1, 0.2), ge=0, help="shares of train, val and test, where the file has no array `split`"
    )
    seed: int = option(0, ge=0, lt=2**32, help="of the random split, where the file has no array `split`")

    def __attrs_post_init__(self) -> None:
        check_fractions(self.fractions)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self._arrays()["inputs"].shape[1:])

    def split(self, name: Split) -> TensorData:
        """The samples of one split, in the order of the file."""
        arrays = self._arrays()
        chosen = np.flatnonzero(self._membership(arrays) == SPLITS.index(check_split(name)))
        if not len(chosen):
            raise DataError(
                f"{self.path} has no samples for '{name}': change the array `split` or the option `fractions`"
            )
        return _samples(arrays, chosen)

    def of_file(self, path: Path) -> TensorData:
        """All samples of another file, in its order."""
        arrays = NPZ(path=path)._arrays()
        return _samples(arrays, np.arange(len(arrays["inputs"])))

    def _membership(self, arrays: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        count = len(arrays["inputs"])
        if "split" in arrays:
            return arrays["split"]
        return random_split(count, self.fractions, self.seed)

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        try:
            status = self.path.stat()
        except OSError as error:
            raise DataError(f"the data file {self.path} cannot be read: {error.strerror}") from error
        return _read_npz(self.path, status.st_mtime_ns, status.st_size)


def _samples(arrays: dict[str, npt.NDArray[Any]], chosen: npt.NDArray[np.intp]) -> TensorData:
    given = arrays["inputs"][chosen]
    inputs = torch.from_numpy(given) if given.dtype == np.uint8 else _tensor(given).float()
    targets = {k: _tensor(v[chosen]) for k, v in arrays.items() if k not in ("inputs", "split")}
    return TensorData(inputs, targets)


_NPY = b"\x93NUMPY"
# What zipfile and numpy were seen to raise on files that are damaged, encrypted or packed in other ways.
_UNREADABLE = (OSError, ValueError, EOFError, RuntimeError, LookupError, SyntaxError, TypeError, OverflowError,
               struct.error, zlib.error, zipfile.BadZipFile)  # fmt: skip


def _check_sizes(path: Path, packed: int) -> None:
    """Raise `ValueError` where arrays are larger than a file of that size holds, before any of them is made."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        unpacked = sum(member.file_size for member in members)
        if unpacked > unpacked_limit(packed):
            raise ValueError(
                f"its arrays unpack to {unpacked:,} bytes, which no data of its size does; if it is meant to, write it "
                "with numpy.savez, which does not compress"
            )
        for member in members:
            with archive.open(member) as file:
                shape, dtype = _npy_header(file)
                stated, held = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
            if dtype.hasobject:
                raise ValueError(f"'{shortened(member.filename)}' holds pickled objects, which are not read")
            if min(shape, default=0) < 0 or stated != held:
                raise ValueError(
                    f"'{shortened(member.filename)}' states {stated:,} bytes of shape {shape}, but holds {held:,}"
                )


def read_npy(path: Path) -> npt.NDArray[Any]:
    """The array in a numpy .npy file; one that states more than the file holds is refused before it is made.

    Raises:
        DataError: the file cannot be read, or holds no plain array.
    """
    try:
        with path.open("rb") as file:
            shape, dtype = _npy_header(file)
            stated, held = math.prod(shape) * dtype.itemsize, path.stat().st_size - file.tell()
        if stated != held:
            raise ValueError(f"it states {stated:,} bytes of shape {shape}, but holds {held:,}")
        array: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    except _UNREADABLE as error:
        raise DataError(f"{path} cannot be read ({error})") from error
    return array


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type that an array in the numpy format states. Raises `ValueError` when it is none."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def read_npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays in a numpy .npz file, by name. Pickled objects, and arrays of more than the file can hold, are refused
    before they are made.

    Raises:
        DataError: the file cannot be read, or holds no plain arrays.
    """
    try:
        with path.open("rb") as single:
            if single.read(len(_NPY)) == _NPY:
                raise DataError(f"{path} holds a single array; write it with numpy.savez(path, inputs=…, target=…)")
        _check_sizes(path, path.stat().st_size)
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except _UNREADABLE as error:
        raise DataError(f"{path} is not a .npz file of plain arrays: {error}") from error


@functools.lru_cache(maxsize=4)
def _read_npz(path: Path, changed: int, size: int) -> dict[str, npt.NDArray[Any]]:
    """All arrays, checked. Kept until four others are read, as several sets of a problem may be, or this one has
    changed."""
    arrays = read_npz(path)
    if "inputs" not in arrays or len(arrays) == 1 + ("split" in arrays):
        raise DataError(
            f"{path} must hold an array `inputs` and at least one target, but holds {', '.join(arrays) or 'nothing'}"
        )
    for key, array in arrays.items():
        if array.ndim == 0 or len(array) != len(arrays["inputs"]):
            raise DataError(f"{path}: `inputs` is {arrays['inputs'].shape}, but `{key}` is {array.shape}")
        if array.dtype.kind not in "fiub":
            raise DataError(f"{path}: `{key}` has type {array.dtype}; numbers are needed")
        good = np.isfinite(array) if key in ("inputs", "split") else ~np.isinf(array)
        if array.dtype.kind == "f" and not good.all():
            row = np.argwhere(~good)[0]
            raise DataError(f"{path}: `{key}` is not finite, first at {tuple(int(i) for i in row)}")
    if "split" in arrays and not (arrays["split"].ndim == 1 and np.isin(arrays["split"], (0, 1, 2)).all()):
        raise DataError(f"{path}: `split` must hold 0 (train), 1 (val) or 2 (test) for each sample")
    return arrays


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    """Floats as float32, integers and booleans as int64."""
    if array.dtype.kind == "f":
        return torch.from_numpy(array.astype(np.float32))
    return torch.from_numpy(array.astype(np.int64))
