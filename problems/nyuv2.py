"""`nyuv2`: segmentation, depth and surface normals of rooms, as MTAN and what follows it prepared them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from moframework.config import config, option

from .mtan_scenes import MTANScenes
from .npy_layout import Layout

__all__ = ["NYUv2"]


@config
class NYUv2(MTANScenes):
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

    With MTAN's attention in place of the plain SegNet::

        problem: {name: nyuv2, backbone: {name: segnet_mtan, width: 32}}
        solver: pamal
    """

    layout: ClassVar[Layout] = Layout(
        name="nyuv2",
        root=Path("nyuv2"),
        what="the preprocessed NYUv2 (288x384, 13 classes, normals)",
        size=(288, 384),
        folders={"segmentation": "label", "depth": "depth", "normal": "normal"},
    )
    classes: ClassVar[int] = 13

    validation: int = option(95, ge=1, help="images of train that are held out to validate")
