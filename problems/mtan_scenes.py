"""What `cityscapes` and `nyuv2` have in common: dense tasks on images that the authors of MTAN prepared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, final

import attrs

from moframework.augmentations import Augmentation, MapKind
from moframework.augmentations.flip import Flip
from moframework.augmentations.scale_crop import ScaleCrop
from moframework.backbones.base import Backbone
from moframework.backbones.segnet import SegNet
from moframework.config import config, option
from moframework.data import Dataset, Split
from moframework.data.cache import data_folder
from moframework.problem import Problem
from moframework.problem.task import Task

from . import scene_tasks
from .npy_layout import Layout

__all__ = ["MTANScenes"]


@config
class MTANScenes(Problem):
    """Tell what each pixel of an image shows, how far away it is, and how its surface is turned where that is known.

    A problem is the class data below, and a `validation` with the default of its papers. Training batches are zoomed by
    1, 1.2 or 1.5 and mirrored, each image in its own way. No reference point is customary.
    """

    layout: ClassVar[Layout]
    """The files; its `root` is relative to the folder of all data sets."""
    classes: ClassVar[int]
    """What a pixel may show."""

    root: Path | None = option(
        None, help="folder that has the data set's own; none: MOFRAMEWORK_DATA, else a folder in the user's cache"
    )
    validation: int = option(ge=1, help="images of train that are held out to validate")
    seed: int = option(0, ge=0, lt=2**32, help="of the choice of images that validate")
    memory: float = option(
        4.0,
        ge=0,
        help="gigabytes up to which a split is held in memory (train needs 2 to 3); above, files are read as needed",
    )

    @final
    @property
    def tasks(self) -> tuple[Task, ...]:
        """`segmentation`, `depth` and, where there are any, `normal`; see `moframework.problems.scene_tasks`."""
        made = (scene_tasks.segmentation(self.classes), scene_tasks.depth(), scene_tasks.normal())
        return tuple(task for task in made if task.name in self.layout.folders)

    @final
    @property
    def network(self) -> Backbone:
        """SegNet: 25,017,672 parameters for `cityscapes`, 25,055,185 for `nyuv2`."""
        return SegNet()

    @final
    @property
    def input_shape(self) -> tuple[int, ...]:
        """(3, height, width)."""
        return (3, *self.layout.size)

    @final
    @property
    def maps(self) -> Mapping[str, MapKind]:
        """All targets."""
        return {key: scene_tasks.MAPS[key] for key in self.layout.folders}

    @final
    @property
    def augmentation(self) -> tuple[Augmentation, ...]:
        """Zooms and flips."""
        return (ScaleCrop(), Flip())

    @final
    def data(self, split: Split) -> Dataset:
        """Images (n, 3, h, w), float32 in [0, 1]; targets `segmentation` (n, h, w), int64 in [−1, classes), `depth`
        (n, 1, h, w) and, where there are any, `normal` (n, 3, h, w), float32."""
        layout = attrs.evolve(self.layout, root=data_folder(self.root) / self.layout.root)
        return layout.data(split, validation=self.validation, seed=self.seed, memory=self.memory)
