"""`cityscapes`: segmentation and depth of street scenes, as MTAN and what follows it prepared them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from moframework.config import config, option

from .mtan_scenes import MTANScenes
from .npy_layout import Layout

__all__ = ["CityScapes"]


@config
class CityScapes(MTANScenes):
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

    With a hundred images that validate, all of which are read as they are needed::

        problem: {name: cityscapes, validation: 100, memory: 0}
        solver: {name: palora, rank: 4}
    """

    layout: ClassVar[Layout] = Layout(
        name="cityscapes",
        root=Path("cityscapes"),
        what="the preprocessed CityScapes (128x256, 7 classes)",
        size=(128, 256),
        folders={"segmentation": "label_7", "depth": "depth"},
    )
    classes: ClassVar[int] = 7

    validation: int = option(475, ge=1, help="images of train that are held out to validate")
