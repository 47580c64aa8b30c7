"""`utkface`: age, gender and ethnicity of a face."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from moframework.config import config, option
from moframework.data import SPLITS, Dataset, Split, check_split, random_split
from moframework.data.images import image_names
from moframework.errors import DataError
from moframework.losses import CrossEntropy, Huber
from moframework.metrics import MAE, Accuracy
from moframework.problem.task import Task

from .faces import Faces

__all__ = ["UTKFace"]

_NAME = re.compile(r"(?P<age>\d{1,3})_(?P<gender>[01])_(?P<ethnicity>[0-4])_\d+ ?(?:\.|jpg)")
_OLDEST = 116  # as the data's page says


@config
class UTKFace(Faces):
    """Tell age, gender and ethnicity from a face: a regression and two classifications.

    **Source.** UTKFace (Z. Zhang, Y. Song, H. Qi, CVPR 2017, https://susanqq.github.io/UTKFace/): 23,705 faces,
    aligned and cropped, of ages 0 to 116. **License.** Non-commercial research only; the photographs belong to their
    owners. **How to obtain.** The archive `UTKFace.tar.gz` of that page, unpacked to `root/UTKFace`; subfolders will
    do. Nothing is downloaded.

    **Labels** are in the names, `age_gender_ethnicity_date.jpg…`, with two slips of the original (a blank before the
    dot, and no dot); files with other names (three of the original) are
    left out, and a warning says how many.

    **Construction**, as in the code of PaMaL (github.com/nik-dim/pamal): images resized to 64×64; 70 % train, 10 %
    validate and 20 % test, drawn by `seed`. Ages have mean 0 and variance 1; here by the training images alone, there
    by all of them.

    **Tasks.** `age`: Huber loss (what the papers report) and absolute error, both in standard deviations; `gender`
    (0 male, 1 female) and `ethnicity` (white, black, Asian, Indian, other): cross-entropy and accuracy. There is no
    customary reference point.

    **Network**, that of PaMaL and PaLoRA: ResNet-18 for small images, 11,185,224 parameters.

    With a hidden layer in each head::

        problem: {name: utkface, backbone: {name: resnet, depth: 18, stem: small, hidden: [64]}}
        solver: palora
    """

    name: ClassVar[str] = "utkface"
    directory: ClassVar[str] = "UTKFace"

    seed: int = option(0, ge=0, lt=2**32, help="of the draw of splits")

    @property
    def tasks(self) -> tuple[Task, ...]:
        """`age`, `gender` and `ethnicity`."""
        return (
            Task(name="age", loss=Huber(), metrics=(MAE(),)),
            Task(name="gender", loss=CrossEntropy(), metrics=(Accuracy(),), size=2),
            Task(name="ethnicity", loss=CrossEntropy(), metrics=(Accuracy(),), size=5),
        )

    def data(self, split: Split) -> Dataset:
        """Images, uint8 (batches are float32 in [0, 1]), with `age` (n,), float32, and `gender` and `ethnicity` (n,),
        int64."""
        position = SPLITS.index(check_split(split))
        folder = self.folder
        names, labels = _labeled(folder)
        parts = random_split(len(names), (0.7, 0.1, 0.2), self.seed)
        ages = labels[parts == 0, 0]
        rows = np.flatnonzero(parts == position)
        targets = {
            "age": torch.from_numpy(((labels[rows, 0] - ages.mean()) / (ages.std() or 1.0)).astype(np.float32)),
            "gender": torch.from_numpy(labels[rows, 1]),
            "ethnicity": torch.from_numpy(labels[rows, 2]),
        }
        return self.samples(folder, names, rows, targets)


def _labeled(folder: Path) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """Names of the images that carry labels, and the labels: (n, 3), age, gender and ethnicity."""
    found = image_names(folder)
    matches = {name: _NAME.match(name.rpartition("/")[2]) for name in found}
    labels = {name: [int(v) for v in m.groups()] for name, m in matches.items() if m and int(m["age"]) <= _OLDEST}
    if len(labels) < 10:
        raise DataError(
            f"utkface needs images named age_gender_ethnicity_date.jpg in {folder}, and found {len(labels)} among "
            f"{len(found)} images. Get UTKFace.tar.gz from https://susanqq.github.io/UTKFace/ and unpack it there, or "
            "name another folder with the option `root` or the environment variable MOFRAMEWORK_DATA: the one that has "
            f"{folder.name}."
        )
    skipped = [name for name in found if name not in labels]
    if skipped:
        shown = ", ".join(skipped[:3]) + (", …" if len(skipped) > 3 else "")
        warnings.warn(
            f"utkface leaves out {len(skipped)} of {len(found)} images in {folder}, whose names are not "
            f"age_gender_ethnicity_date: {shown}",
            stacklevel=3,
        )
    return tuple(labels), np.array(list(labels.values()), dtype=np.int64)
