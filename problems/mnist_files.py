"""Image sets in MNIST's layout: four IDX files each, found in a data folder or downloaded into it, and verified."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from moframework.data.cache import read_idx
from moframework.data.download import download
from moframework.errors import DataError

__all__ = ["FASHION_MNIST", "MNIST", "ImageSet"]

_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@frozen
class ImageSet:
    """A set of 28×28 gray images with 10 classes: 60,000 to train and 10,000 to test."""

    name: str
    """As torchvision calls the data set, and the folder it puts it into."""

    def files(self, root: Path, fetch: bool, problem: str) -> list[Path]:
        """The four files (images and labels to train, images and labels to test), plain or gzip-compressed.

        Args:
            root: the data folder; the files are in `<name>/raw` there.
            fetch: download those that are missing.
            problem: who needs them, for the message.

        Raises:
            DataError: files are missing and cannot be downloaded, or may not.
        """
        folder = root / self.name / "raw"
        missing = [name for name in _FILES if _existing(folder, name) is None]
        if missing:
            self._obtain(folder, missing, fetch, problem)
        return [_existing(folder, name) or folder / name for name in _FILES]

    def _obtain(self, folder: Path, missing: list[str], fetch: bool, problem: str) -> None:
        import torchvision  # where the mirrors and checksums are kept up to date; slow to import

        source: Any = getattr(torchvision.datasets, self.name)
        checksums = {packed.removesuffix(".gz"): md5 for packed, md5 in source.resources}
        advice = (
            f"{problem} needs {', '.join(missing)} of {self.name} in {folder}. "
            f"Get {', '.join(m + '.gz' for m in missing)} from {source.mirrors[0]} into that folder, or name another "
            f"with the option `root` or the environment variable MOFRAMEWORK_DATA: the one that has {self.name}/raw."
        )
        if not fetch:
            raise DataError(f"{advice} Downloading is switched off (download: false).")
        try:
            for name in missing:
                urls = [f"{mirror}{name}.gz" for mirror in source.mirrors]
                download(urls, folder / name, md5=checksums[name], unpack=True)
        except DataError as error:
            raise DataError(f"{advice} Downloading was tried: {error}") from error

    def read(self, files: list[Path]) -> list[tuple[Tensor, Tensor]]:
        """Images (n, 28, 28), uint8, and labels (n,), int64, of the part to train and the part to test.

        Raises:
            DataError: a file is damaged, or is not of this set.
        """
        arrays = [torch.from_numpy(read_idx(path)) for path in files]
        for path, array, dimensions in zip(files, arrays, (3, 1, 3, 1), strict=True):
            if array.dim() != dimensions or (dimensions == 3 and array.shape[1:] != (28, 28)):
                raise DataError(
                    f"{path} is not {self.name}: it has shape {tuple(array.shape)}; delete it and get it again"
                )
        return [(arrays[0], arrays[1].long()), (arrays[2], arrays[3].long())]


def _existing(folder: Path, name: str) -> Path | None:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None


MNIST = ImageSet("MNIST")
FASHION_MNIST = ImageSet("FashionMNIST")
