"""`cityscapes`: segmentation and depth of street scenes, as MTAN and what follows it prepared them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

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

__all__ = ["CityScapes"]


@config
class CityScapes(Problem):
    """Tell what each pixel of a street scene shows, and how far away it is.

    **Source.** CityScapes (Cordts et al., CVPR 2016; https://www.cityscapes-dataset.com/), reduced to 128×256 pixels, 7
    classes and inverse depth by the authors of MTAN (Liu, Johns and Davison, CVPR 2019). **License.** For research and
    other purposes that are not commercial, on the terms of the data set's site. **How to obtain.** The folder of `.npy`
    files that https://github.com/lorenmt/mtan links to (2,975 images to train and 500 to validate), as `cityscapes`
    below `root`; nothing is downloaded here. See `moframework.problems.npy_layout` for the files.

    **Splits**, as PaMaL and PaLoRA have them: 500 images of `val` are the test; 475 of `train`, chosen by `seed`,
    validate, and 2,500 train. Training batches are zoomed by 1, 1.2 or 1.5 and mirrored, each image in its own way.

    **Tasks** (see `moframework.problems.scene_tasks`): `segmentation`, cross-entropy over 7 classes; `depth`, which is
    inverse depth here, mean absolute error where it is known. Zooming divides it by the factor as the papers' code
    does, though the inverse depth of what comes nearer grows. **Reference point**: none is customary.
    """

    root: Path | None = option(
        None, help="folder that has cityscapes/train; none: MOFRAMEWORK_DATA, else a folder in the user's cache"
    )
    validation: int = option(475, ge=1, help="images of train that are held out to validate")
    seed: int = option(0, ge=0, lt=2**32, help="of the choice of images that validate")
    memory: float = option(
        4.0,
        ge=0,
        help="gigabytes up to which a split is held in memory (train needs 2); above, files are read as needed",
    )

    @property
    def tasks(self) -> tuple[Task, ...]:
        """`segmentation` and `depth`."""
        return (scene_tasks.segmentation(7), scene_tasks.depth())

    @property
    def network(self) -> Backbone:
        """SegNet: 25,017,672 parameters."""
        return SegNet()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(3, 128, 256)."""
        return (3, 128, 256)

    @property
    def maps(self) -> Mapping[str, MapKind]:
        """Classes and depth."""
        return {key: scene_tasks.MAPS[key] for key in ("segmentation", "depth")}

    @property
    def augmentation(self) -> tuple[Augmentation, ...]:
        """Zooms and flips."""
        return (ScaleCrop(), Flip())

    def data(self, split: Split) -> Dataset:
        """Images (n, 3, 128, 256), float32 in [0, 1]; targets `segmentation` (n, 128, 256), int64 in [−1, 7), and
        `depth` (n, 1, 128, 256), float32."""
        layout = Layout(
            name="cityscapes",
            root=data_folder(self.root) / "cityscapes",
            what="the preprocessed CityScapes (128x256, 7 classes)",
            size=(128, 256),
            folders={"segmentation": "label_7", "depth": "depth"},
        )
        return layout.data(split, validation=self.validation, seed=self.seed, memory=self.memory)
