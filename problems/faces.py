"""What `celeba` and `utkface` have in common: image files of faces, resized, and the network for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal, final

import numpy as np
import numpy.typing as npt
from torch import Tensor

from moframework.backbones.base import Backbone
from moframework.backbones.resnet import ResNet
from moframework.config import config, option
from moframework.data import Dataset
from moframework.data.cache import data_folder
from moframework.data.images import Images
from moframework.problem import Problem

__all__ = ["Faces"]


@config
class Faces(Problem):
    """Tell several things from a face. A problem fills in the class data below, `tasks`, and `data`, by `samples`."""

    name: ClassVar[str]
    """As the problem is registered; the cache of its decoded images is called so."""
    directory: ClassVar[str]
    """The data set's own folder in that of all data sets."""

    root: Path | None = option(
        None, help="folder that has the data set's own; none: MOFRAMEWORK_DATA, else the user's cache"
    )
    size: int = option(64, ge=8, le=4096, help="height and width that images are resized to")
    in_memory: bool | Literal["auto"] = option(
        "auto", help="keep decoded images in memory; auto: where they take at most a quarter of it"
    )

    @final
    @property
    def network(self) -> Backbone:
        """ResNet-18 for small images."""
        return ResNet(depth=18, stem="small", pool=2)

    @final
    @property
    def input_shape(self) -> tuple[int, ...]:
        """(3, size, size)."""
        return (3, self.size, self.size)

    @final
    @property
    def folder(self) -> Path:
        """The data set's own."""
        return data_folder(self.root) / self.directory

    @final
    def samples(
        self, folder: Path, names: tuple[str, ...], rows: npt.NDArray[np.int64], targets: Mapping[str, Tensor]
    ) -> Dataset:
        """Images, uint8 (batches are float32 in [0, 1]), with their targets.

        Args:
            folder: where the images are.
            names: of all images there, relative to the folder.
            rows: positions (n,) of the samples' images among them.
            targets: by key, each (n,).
        """
        size = (self.size, self.size)
        images = Images(problem=self.name, folder=folder, names=names, size=size, in_memory=self.in_memory)
        return images.samples(rows, targets)
