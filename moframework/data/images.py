"""Images in files: decoded once into a cache where they fit in memory, else when a sample is asked for."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, SupportsInt

import numpy as np
import numpy.typing as npt
import torch
import torch.utils.data
from attrs import frozen
from PIL import Image, ImageOps
from torch import Tensor

from moframework.data.cache import cached_tensors
from moframework.data.dataset import Batch, Dataset, Origins, TensorData
from moframework.errors import DataError
from moframework.memory import machine_memory

__all__ = ["SUFFIXES", "ImageFiles", "Images", "as_pixels", "has_deep_pixels", "image_names", "read_image"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
"""Endings of names that are taken for images, whatever their case."""

_CONSTRUCTION = 2  # part of the cache's key: raise it whenever the same files give other tensors
# `auto` keeps images in memory up to this share of the machine's: the fronts of several runs may be made at once.
_SHARE = 0.25


# From here on Pillow warns, and at twice as many it refuses: a file of few bytes can have any number of pixels.
_PIXELS = 1024**3 // 4 // 3
# What Pillow was seen to raise on damaged files, SyntaxError for a PNG among them.
_UNREADABLE = (OSError, ValueError, SyntaxError, LookupError, EOFError, TypeError, OverflowError, struct.error,
               zlib.error, Image.DecompressionBombError, Image.DecompressionBombWarning)  # fmt: skip


# Pillow's modes of more than 8 bits; each has one channel, and those of more it reads as 8 bits.
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_FRAMED = ("TIFF", "GIF", "WEBP", "PNG")  # formats whose further frames are others, not previews


def image_names(folder: Path) -> tuple[str, ...]:
    """Names of the images in `folder` and below, relative to it, sorted. See `SUFFIXES`."""
    found = (
        (Path(where) / name).relative_to(folder).as_posix() for where, _, names in os.walk(folder) for name in names
    )
    return tuple(sorted(name for name in found if name.lower().endswith(SUFFIXES)))


def read_image(path: Path, size: tuple[int, int], gray: bool = False, floats: bool = False) -> Tensor:
    """One image as a viewer shows it (its stated orientation applied, transparent parts on white), resized bilinearly
    with antialiasing.

    Args:
        path: a file of any format that Pillow reads.
        size: height and width; proportions are not kept.
        gray: one channel of brightness rather than red, green and blue.
        floats: keep what images of more than 8 bits have.

    Returns:
        (3 or 1, *size). uint8, where those of 16 bits lose their lower eight; with `floats` float32: those of 8 and 16
        bits in [0, 1], by the range of their type, and others, of floats or 32-bit integers, with their numbers as they
        are.

    Raises:
        DataError: the file is missing, is no image, has more than 89 million pixels or several frames, is of floats or
            32-bit integers without `floats`, or a pixel is not finite.
    """
    try:
        with Image.open(path) as image:
            return as_pixels(image, path, size, gray, floats)
    except _UNREADABLE as error:
        raise DataError(f"{path} cannot be read as an image ({error}): replace it, or remove it") from error


def as_pixels(
    image: Image.Image, path: Path | str, size: tuple[int, int], gray: bool = False, floats: bool = False
) -> Tensor:
    """An image of Pillow as `read_image` gives it.

    Args:
        path: where it comes from, for messages.

    Raises:
        DataError: as `read_image`; what Pillow raises where it cannot be decoded.
    """
    _check_extent(path, image)
    form, upright = image.format, ImageOps.exif_transpose(image)
    if upright.mode not in _DEEP:
        resized = _flattened(upright, "L" if gray else "RGB").resize(size[::-1], Image.Resampling.BILINEAR)
        pixels = np.array(resized).reshape(*size, -1).transpose(2, 0, 1).copy()
        return torch.from_numpy(pixels.astype(np.float32) / 255 if floats else pixels)
    if "transparency" in upright.info:
        raise DataError(f"{path} has a transparent color and more than 8 bits: save it without the former")
    # A format that states no range of its own but reads 16 bits into more gives their range.
    largest = 65535.0 if upright.mode.startswith("I;16") or form in ("PNG", "PPM") else None
    made = _deep_pixels(path, np.asarray(upright, dtype=np.float32), largest, floats)
    single = np.array(Image.fromarray(made).resize(size[::-1], Image.Resampling.BILINEAR))
    single = single if floats else np.clip(single + 0.5, 0, 255).astype(np.uint8)
    return torch.from_numpy(np.repeat(single[None], 1 if gray else 3, axis=0))


def has_deep_pixels(path: Path) -> bool:
    """Whether an image has more than 8 bits a channel, floats among them, as Pillow reads it; False for a file that
    cannot be read, of which reading it tells."""
    try:
        with Image.open(path) as image:
            return image.mode in _DEEP
    except _UNREADABLE:
        return False


def _check_extent(path: Path | str, image: Image.Image) -> None:
    if image.width * image.height > _PIXELS:
        raise DataError(
            f"{path} has {image.width:,} x {image.height:,} pixels, and {_PIXELS:,} are the most: "
            "make it smaller, or remove it"
        )
    frames = getattr(image, "n_frames", 1) if image.format in _FRAMED else 1
    if frames > 1:
        raise DataError(f"{path} has {frames} frames, and an image has one: save one of them")


def _flattened(image: Image.Image, mode: str) -> Image.Image:
    """An image of 8 bits in this mode, its transparent parts on white."""
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        # Premultiplied modes convert to none but their own kind.
        straight = {"RGBa": "RGBA", "La": "LA"}.get(image.mode, image.mode)
        image = Image.alpha_composite(white, image.convert(straight).convert("RGBA"))
    return image.convert(mode)


def _deep_pixels(
    path: Path | str, values: npt.NDArray[np.float32], largest: float | None, floats: bool
) -> npt.NDArray[Any]:
    """Pixels (h, w) as they are resized: in [0, 1] or as they are with `floats`, else in [0, 255]. `largest` is the
    largest number of their type, None where it states no range."""
    if not np.isfinite(values).all():
        raise DataError(f"{path} has pixels that are not finite: replace it, or remove it")
    if largest is not None:
        return values / np.float32(largest if floats else largest / 255)
    if not floats:
        raise DataError(
            f"{path} has pixels of floats or 32-bit integers, whose range no one states, so they cannot be made 8-bit: "
            "keep them with the option `pixels: float32` of the problem `images`, or save the image with 8 or 16 bits"
        )
    return values


class ImageFiles(torch.utils.data.Dataset[Batch]):
    """Images that are decoded when asked for, with targets in memory.

    Args:
        paths: the files, one a sample.
        targets: by key, each (n, ...).
        size, gray, floats: see `read_image`.
        known_contents: what `moframework.data.fingerprint` says of it.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        targets: Mapping[str, Tensor],
        size: tuple[int, int],
        gray: bool,
        known_contents: str,
        floats: bool = False,
    ) -> None:
        self.paths = tuple(paths)
        self.targets = dict(targets)
        self.size = size
        self.gray = gray
        self.known_contents = known_contents
        self.floats = floats

    def __len__(self) -> int:
        return len(self.paths)

    def where(self, index: int) -> str:
        """The file of a sample."""
        return str(self.paths[index])

    def __getitem__(self, index: int) -> Batch:
        image = read_image(self.paths[index], self.size, self.gray, self.floats)
        return image, {key: target[index] for key, target in self.targets.items()}


@frozen(kw_only=True)
class Images:
    """The images of a problem: which files, in what size, and whether they are kept in memory.

    In memory they are tensors, uint8 or, with `floats`, float32, decoded once by all processors and kept in a cache
    file for the next time. It is keyed by the files' names, sizes and times of change rather than by their bytes, which
    would all have to be read at each start; by `size`, `gray` and `floats`; not by splits or targets.
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
    floats: bool = False
    """float32 rather than uint8: see `read_image`."""
    listed: Origins | None = None
    """Where each of `names` is listed, for messages; None: nowhere."""

    def samples(self, rows: Iterable[SupportsInt], targets: Mapping[str, Tensor]) -> Dataset:
        """Some of the images as a data set.

        Args:
            rows: which images, (k,), integers.
            targets: of these images, by key, each (k, ...).

        Raises:
            DataError: a file is missing or is no image.
        """
        chosen = [int(row) for row in rows]
        stats = self._stats()
        known = self._contents(chosen, targets, stats)
        if not self._fits():
            paths = [self.folder / self.names[row] for row in chosen]
            return ImageFiles(paths, targets, self.size, self.gray, known, self.floats)
        key = {
            "construction": _CONSTRUCTION,
            "files": _hash(f"{name}:{size}:{time}" for name, (size, time) in zip(self.names, stats, strict=True)),
            "size": self.size,
            "gray": self.gray,
            "floats": self.floats,
        }
        images = cached_tensors(self.problem, key, lambda: {"images": self._decoded()})["images"]
        selected = images.index_select(0, torch.tensor(chosen, dtype=torch.long))
        return TensorData(selected, targets, known, _Files(self.folder, self.names, chosen))

    def _stats(self) -> list[tuple[int, int]]:
        """Size and time of change of each file."""
        found = []
        for i, name in enumerate(self.names):
            try:
                status = (self.folder / name).stat()
            except OSError as error:
                listed = "" if self.listed is None else f", and {self.listed[i]}, names it"
                raise DataError(
                    f"the image {self.folder / name} cannot be read: {error.strerror}{listed}{_near(self.folder, name)}"
                ) from error
            found.append((status.st_size, status.st_mtime_ns))
        return found

    def _fits(self) -> bool:
        if self.in_memory != "auto":
            return self.in_memory
        numbers = len(self.names) * (1 if self.gray else 3) * self.size[0] * self.size[1]
        return numbers * (4 if self.floats else 1) <= _SHARE * machine_memory()

    def _contents(self, rows: list[int], targets: Mapping[str, Tensor], stats: list[tuple[int, int]]) -> str:
        """A hash of names, sizes of files, and targets: the same in memory and not, and wherever the folder lies."""
        form = f"{self.size}:{self.gray}" + (":float32" if self.floats else "")
        words = [form, *(f"{self.names[row]}:{stats[row][0]}" for row in rows)]
        for name, target in sorted(targets.items()):
            words.append(f"{name}:{hashlib.blake2b(target.contiguous().numpy().tobytes(), digest_size=16).hexdigest()}")
        return _hash(words)

    def _decoded(self) -> Tensor:
        """All images, (n, channels, *size)."""
        dtype = torch.float32 if self.floats else torch.uint8
        made = torch.empty(len(self.names), 1 if self.gray else 3, *self.size, dtype=dtype)

        def decode(row: int) -> None:
            made[row] = read_image(self.folder / self.names[row], self.size, self.gray, self.floats)

        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # Pillow decodes without Python's lock
            for _ in pool.map(decode, range(len(self.names))):
                pass
        return made


@frozen(eq=False)
class _Files:
    """Where samples come from: the names of their files."""

    folder: Path
    names: Sequence[str]
    rows: Sequence[int]

    def __getitem__(self, index: int) -> str:
        return str(self.folder / self.names[self.rows[index]])


def _near(folder: Path, name: str) -> str:
    """What may be meant by the name of a file that is not there."""
    for suffix in (*SUFFIXES, ".tif", ".tiff"):
        for ending in (suffix, suffix.upper()):
            if (folder / f"{name}{ending}").is_file():
                return f". There is {name}{ending}: if the names lack it, set the option `suffix: {ending}`"
    if (folder.parent / name).is_file():
        return f". There is {folder.parent / name}: if the names begin with the folder's, set `folder` to the one above"
    return ""


def _hash(words: Iterable[str]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for word in words:
        digest.update(word.encode() + b"\n")
    return digest.hexdigest()
