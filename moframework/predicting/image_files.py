"""The reader `images`: files of images, of the size that was trained on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from moframework.config import config, option
from moframework.data.images import SUFFIXES, as_pixels, image_names, read_image
from moframework.errors import DataError
from moframework.predicting.reader import Part, Reader, Reading

__all__ = ["ImageReader"]

_FILE = "file"


@config
class ImageReader(Reader):
    """Images in files or in memory, resized as in training.

    Raw data is a folder, whose images (also in folders inside) are read in the order of their names, one file, or a
    list of files and of images of Pillow. The name of each is kept as the column `file`.

    >>> image = Image.new("RGB", (8, 8), color=(255, 0, 0))
    >>> part = next(ImageReader(size=(2, 2)).parts([image], Reading()))
    >>> tuple(part.inputs.shape), part.inputs[0, :, 0, 0].tolist()  # red, green and blue
    ((1, 3, 2, 2), [1.0, 0.0, 0.0])
    """

    size: tuple[int, int] = option(ge=1, le=4096, help="height and width that images are resized to")
    gray: bool = option(False, help="one channel of brightness rather than red, green and blue")
    floats: bool = option(False, help="more than 8 bits are kept")

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(3, *size), or (1, *size) for gray images."""
        return (1 if self.gray else 3, *self.size)

    def parts(self, raw: Any, reading: Reading) -> Iterator[Part]:
        """Images, in their order; see `Reader.parts`. Decoded by all processors."""
        names, images = _listed(raw)
        if set(reading.keep) - {_FILE}:
            raise DataError(f"of images only `{_FILE}` can be kept, which it always is; not {', '.join(reading.keep)}")
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # Pillow decodes without Python's lock
            for start in range(0, len(images), reading.count):
                chosen = slice(start, start + reading.count)
                pixels = torch.stack(list(pool.map(self._read, images[chosen])))
                inputs = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
                yield Part(inputs, {_FILE: names[chosen]})

    def _read(self, image: Path | Image.Image) -> Tensor:
        if isinstance(image, Path):
            return read_image(image, self.size, self.gray, self.floats)
        return as_pixels(image, "an image given", self.size, self.gray, self.floats)


def _listed(raw: Any) -> tuple[list[str], list[Path | Image.Image]]:
    """What the images are called, and their files or themselves."""
    if isinstance(raw, Image.Image):
        raw = [raw]
    if isinstance(raw, str | Path):
        folder = Path(raw)
        if not folder.is_dir():
            return [str(raw)], [folder]
        names = list(image_names(folder))
        if not names:
            raise DataError(f"{folder} has no images: no file ends in {', '.join(SUFFIXES)}")
        return names, [folder / name for name in names]
    if not isinstance(raw, Sequence) or not raw or not all(isinstance(r, str | Path | Image.Image) for r in raw):
        raise DataError(
            f"images are given as a folder, a file, or a list of files or of images of Pillow, but not as a "
            f"{type(raw).__name__}; prepared inputs as a tensor or numpy array (n, channels, height, width)"
        )
    images = [each if isinstance(each, Image.Image) else Path(each) for each in raw]
    return ["" if isinstance(each, Image.Image) else str(each) for each in images], images
