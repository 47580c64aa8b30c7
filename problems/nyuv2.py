"""`nyuv2`: segmentation, depth and surface normals of rooms, as MTAN and what follows it prepared them."""

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

__all__ = ["NYUv2"]


@config
class NYUv2(Problem):
    """Tell what each pixel of a room shows, how far away it is, and how its surface is turned.

    **Source.** NYU Depth v2 (Silberman, Hoiem, Kohli and Fergus, ECCV 2012;
    https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html), reduced to 288×384 pixels and 13 classes, with normals, by
    the authors of MTAN (Liu, Johns and Davison, CVPR 2019). **License.** None is stated on the data set's site; it is
    used for research. **How to obtain.** The folder of `.npy` files that https://github.com/lorenmt/mtan links to (795
    images to train and 654 to validate), as `nyuv2` below `root`; nothing is downloaded here. See
    `moframework.problems.npy_layout` for the files.

    **Splits**, as PaLoRA has them: the 654 images of `val` are the test; 95 of `train`, chosen by `seed`, validate, and
    700 train. Training batches are zoomed by 1, 1.2 or 1.5 and mirrored, each image in its own way.

    **Tasks** (see `moframework.problems.scene_tasks`): `segmentation`, cross-entropy over 13 classes; `depth` in
    meters, mean absolute error where it is known; `normal`, 1 − cosine. **Reference point**: none is customary.
    """

    root: Path | None = option(
        None, help="folder that has nyuv2/train; none: MOFRAMEWORK_DATA, else a folder in the user's cache"
    )
    validation: int = option(95, ge=1, help="images of train that are held out to validate")
    seed: int = option(0, ge=0, lt=2**32, help="of the choice of images that validate")
    memory: float = option(
        4.0,
        ge=0,
        help="gigabytes up to which a split is held in memory (train needs 3); above, files are read as needed",
    )

    @property
    def tasks(self) -> tuple[Task, ...]:
        """`segmentation`, `depth` and `normal`."""
        return (scene_tasks.segmentation(13), scene_tasks.depth(), scene_tasks.normal())

    @property
    def network(self) -> Backbone:
        """SegNet: 25,055,185 parameters."""
        return SegNet()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(3, 288, 384)."""
        return (3, 288, 384)

    @property
    def maps(self) -> Mapping[str, MapKind]:
        """Classes, depth and normals."""
        return scene_tasks.MAPS

    @property
    def augmentation(self) -> tuple[Augmentation, ...]:
        """Zooms and flips."""
        return (ScaleCrop(), Flip())

    def data(self, split: Split) -> Dataset:
        """Images (n, 3, 288, 384), float32 in [0, 1]; targets `segmentation` (n, 288, 384), int64 in [−1, 13), `depth`
        (n, 1, 288, 384) and `normal` (n, 3, 288, 384), float32."""
        layout = Layout(
            name="nyuv2",
            root=data_folder(self.root) / "nyuv2",
            what="the preprocessed NYUv2 (288x384, 13 classes, normals)",
            size=(288, 384),
            folders={"segmentation": "label", "depth": "depth", "normal": "normal"},
        )
        return layout.data(split, validation=self.validation, seed=self.seed, memory=self.memory)
