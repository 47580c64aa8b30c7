"""Images in files: decoded once into a cache where they fit in memory, else when a sample is asked for."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, SupportsInt

import numpy as np
import torch
import torch.utils.data
from attrs import frozen
from PIL import Image, ImageOps
from torch import Tensor

from moframework.data.cache import cached_tensors
from moframework.data.dataset import Batch, Dataset, TensorData
from moframework.errors import DataError
from moframework.memory import machine_memory

__all__ = ["SUFFIXES", "ImageFiles", "Images", "image_names", "read_image"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
"""Endings of names that are taken for images, whatever their case."""

_CONSTRUCTION = 1  # part of the cache's key: raise it whenever the same files give other tensors
# `auto` keeps images in memory up to this share of the machine's: the fronts of several runs may be made at once.
_SHARE = 0.25


# From here on Pillow warns, and at twice as many it refuses: a file of few bytes can have any number of pixels.
_PIXELS = 1024**3 // 4 // 3
# What Pillow was seen to raise on damaged files, SyntaxError for a PNG among them.
_UNREADABLE = (OSError, ValueError, SyntaxError, LookupError, EOFError, TypeError, OverflowError, struct.error,
               zlib.error, Image.DecompressionBombError, Image.DecompressionBombWarning)  # fmt: skip


def image_names(folder: Path) -> tuple[str, ...]:
    """Names of the images in `folder` and below, relative to it, sorted. See `SUFFIXES`."""
    found = (
        (Path(where) / name).relative_to(folder).as_posix() for where, _, names in os.walk(folder) for name in names
    )
    return tuple(sorted(name for name in found if name.lower().endswith(SUFFIXES)))


def read_image(path: Path, size: tuple[int, int], gray: bool = False) -> Tensor:
    """One image as a viewer shows it (its stated orientation applied), resized bilinearly with antialiasing.

    Args:
        path: a file of any format that Pillow reads.
        size: height and width; proportions are not kept.
        gray: one channel of brightness rather than red, green and blue.

    Returns:
        (3 or 1, *size), uint8.

    Raises:
        DataError: the file is missing, is no image, or has more than 89 million pixels.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > _PIXELS:
                raise DataError(
                    f"{path} has {image.width:,} x {image.height:,} pixels, and {_PIXELS:,} are the most: "
                    "make it smaller, or remove it"
                )
            upright = ImageOps.exif_transpose(image).convert("L" if gray else "RGB")
            resized = upright.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    except _UNREADABLE as error:
        raise DataError(f"{path} cannot be read as an image ({error}): replace it, or remove it") from error
    pixels = np.array(resized)
    return torch.from_numpy(pixels.reshape(*size, -1).transpose(2, 0, 1).copy())


class ImageFiles(torch.utils.data.Dataset[Batch]):
    """Images that are decoded when asked for, with targets in memory.

    Args:
        paths: the files, one a sample.
        targets: by key, each (n, ...).
        size, gray: see `read_image`.
        known_contents: what `moframework.data.fingerprint` says of it.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        targets: Mapping[str, Tensor],
        size: tuple[int, int],
        gray: bool,
        known_contents: str,
    ) -> None:
        self.paths = tuple(paths)
        self.targets = dict(targets)
        self.size = size
        self.gray = gray
        self.known_contents = known_contents

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Batch:
        image = read_image(self.paths[index], self.size, self.gray)
        return image, {key: target[index] for key, target in self.targets.items()}


@frozen(kw_only=True)
class Images:
    """The images of a problem: which files, in what size, and whether they are kept in memory.

    In memory they are uint8 tensors, decoded once by all processors and kept in a cache file for the next time. It is
    keyed by the files' names, sizes and times of change rather than by their bytes, which would all have to be read at
    each start; by `size` and `gray`; not by splits or targets.
    """

    problem: str
    """What the cache file is called."""
    folder: Path
    names: tuple[str, ...]
    """Files, relative to the folder: image i of `samples`."""
    size: tuple[int, int]
    """Height and width that all are resized to."""
    gray: bool = False
    in_memory: bool | Literal["auto"] = "auto"
    """`auto`: where they take at most a quarter of the machine's memory."""

    def samples(self, rows: Iterable[SupportsInt], targets: Mapping[str, Tensor]) -> Dataset:
        """Some of the images as a data set.

        Args:
            rows: which images, (k,), integers.
            targets: of these images, by key, each (k, ...).

        Raises:
            DataError: a file is missing or is no image.
        """
        chosen = [int(row) for row in rows]
        stats = _stats(self.folder, self.names)
        known = self._contents(chosen, targets, stats)
        if not self._fits():
            paths = [self.folder / self.names[row] for row in chosen]
            return ImageFiles(paths, targets, self.size, self.gray, known)
        key = {
            "construction": _CONSTRUCTION,
            "files": _hash(f"{name}:{size}:{time}" for name, (size, time) in zip(self.names, stats, strict=True)),
            "size": self.size,
            "gray": self.gray,
        }
        images = cached_tensors(self.problem, key, lambda: {"images": self._decoded()})["images"]
        return TensorData(images.index_select(0, torch.tensor(chosen, dtype=torch.long)), targets, known)

    def _fits(self) -> bool:
        if self.in_memory != "auto":
            return self.in_memory
        return len(self.names) * (1 if self.gray else 3) * self.size[0] * self.size[1] <= _SHARE * machine_memory()

    def _contents(self, rows: list[int], targets: Mapping[str, Tensor], stats: list[tuple[int, int]]) -> str:
        """A hash of names, sizes of files, and targets: the same in memory and not, and wherever the folder lies."""
        words = [f"{self.size}:{self.gray}", *(f"{self.names[row]}:{stats[row][0]}" for row in rows)]
        for name, target in sorted(targets.items()):
            words.append(f"{name}:{hashlib.blake2b(target.contiguous().numpy().tobytes(), digest_size=16).hexdigest()}")
        return _hash(words)

    def _decoded(self) -> Tensor:
        """All images, (n, channels, *size), uint8."""
        made = torch.empty(len(self.names), 1 if self.gray else 3, *self.size, dtype=torch.uint8)

        def decode(row: int) -> None:
            made[row] = read_image(self.folder / self.names[row], self.size, self.gray)

        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # Pillow decodes without Python's lock
            for _ in pool.map(decode, range(len(self.names))):
                pass
        return made


def _stats(folder: Path, names: Sequence[str]) -> list[tuple[int, int]]:
    """Size and time of change of each file."""
    found = []
    for name in names:
        try:
            status = (folder / name).stat()
        except OSError as error:
            raise DataError(f"the image {folder / name} cannot be read: {error.strerror}") from error
        found.append((status.st_size, status.st_mtime_ns))
    return found


def _hash(words: Iterable[str]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for word in words:
        digest.update(word.encode() + b"\n")
    return digest.hexdigest()
