"""The data sources `mnist` and `fashion_mnist`: images of one set, with their classes, for tasks of one's own."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from moframework.config import config, option
from moframework.data import SPLITS, DataSource, Split, TensorData, check_split
from moframework.data.cache import data_folder, file_stamp

from .mnist_files import FASHION_MNIST, MNIST, ImageSet

__all__ = ["FashionMNISTImages", "MNISTImages"]

_TRAIN, _VAL, _TEST = 50_000, 10_000, 10_000


@config
class _Images(DataSource):
    """28×28 gray images with a class each, the target `class`.

    Of the 60,000 images to train, 10,000 chosen at random by `seed` validate; the 10,000 to test are as published.
    Options make splits smaller: the first ones in an order of chance.
    """

    source: ClassVar[ImageSet]

    root: Path | None = option(
        None, help="folder of the data sets; none: MOFRAMEWORK_DATA, else a folder in the user's cache"
    )
    download: bool = option(True, help="download what is missing")
    train: int = option(_TRAIN, ge=1, le=_TRAIN, help="images for training")
    val: int = option(_VAL, ge=1, le=_VAL, help="images for validation")
    test: int = option(_TEST, ge=1, le=_TEST, help="images for the final test")
    seed: int = option(0, ge=0, lt=2**32, help="of which images validate, and which are left out")

    @final
    @property
    def input_shape(self) -> tuple[int, ...]:
        """(1, 28, 28)."""
        return (1, 28, 28)

    @final
    def split(self, name: Split) -> TensorData:
        """Images (n, 1, 28, 28), uint8, and their `class` (n,), int64 in [0, 10)."""
        position = SPLITS.index(check_split(name))
        files = self.source.files(data_folder(self.root), self.download, f"the data source {self.source.name}")
        read = _read(self.source, tuple(files), tuple(file_stamp(path) for path in files))
        images, classes = read[1 if name == "test" else 0]
        order = np.random.RandomState([self.seed, int(name == "test")]).permutation(len(images))
        held_out = order[:_VAL] if name == "val" else order[_VAL:] if name == "train" else order
        rows = torch.from_numpy(np.sort(held_out[: (self.train, self.val, self.test)[position]]))
        return TensorData(images[rows].unsqueeze(1), {"class": classes[rows]})


@config
class MNISTImages(_Images):
    """MNIST: handwritten digits, target `class`.

    **Source.** Y. LeCun, C. Cortes, C. Burges; http://yann.lecun.com/exdb/mnist/: 70,000 digits of 28×28.
    **License.** Creative Commons Attribution-ShareAlike 3.0. **How to obtain.** As the problem `multimnist`: the four
    IDX files are read from `root/MNIST/raw`, and those that are missing are downloaded and verified.

    Digits and clothes, a data set for each task, in one network::

        problem:
          data: {digit: {name: mnist, train: 10000}, item: fashion_mnist}
          backbone: lenet
          tasks:
            digit: {loss: cross_entropy, size: 10, metrics: [accuracy]}
            item: {loss: cross_entropy, size: 10, metrics: [accuracy]}
    """

    source: ClassVar[ImageSet] = MNIST


@config
class FashionMNISTImages(_Images):
    """Fashion-MNIST: items of clothing, target `class`.

    **Source.** H. Xiao, K. Rasul, R. Vollgraf, Zalando Research, 2017; https://github.com/zalandoresearch/fashion-mnist:
    70,000 items of 28×28. **License.** MIT. **How to obtain.** As `mnist`, from `root/FashionMNIST/raw`.

    Beside `mnist`, with fewer images::

        problem:
          data: {digit: mnist, item: {name: fashion_mnist, train: 10000, val: 1000}}
          backbone: lenet
          tasks:
            digit: {loss: cross_entropy, size: 10, metrics: [accuracy]}
            item: {loss: cross_entropy, size: 10, metrics: [accuracy]}
    """

    source: ClassVar[ImageSet] = FASHION_MNIST


@functools.lru_cache(maxsize=2)
def _read(
    source: ImageSet, files: tuple[Path, ...], stamps: tuple[tuple[int, int], ...]
) -> list[tuple[Tensor, Tensor]]:
    """As `ImageSet.read`. Kept until two other sets are read, or a file has changed."""
    return source.read(list(files))
