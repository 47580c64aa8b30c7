"""`celeba`: up to forty yes-or-no attributes of a face."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.data import SPLITS, Dataset, Split, check_split
from moframework.errors import DataError, nearest
from moframework.losses import BinaryCrossEntropy
from moframework.metrics import Accuracy
from moframework.problem.task import Task

from .faces import Faces

__all__ = ["ATTRIBUTES", "CelebA"]

# fmt: off
ATTRIBUTES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache",
    "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks",
    "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick",
    "Wearing_Necklace", "Wearing_Necktie", "Young",
)
# fmt: on
"""All attributes, in the order of the data's own list."""

_LABELS, _PARTITION, _IMAGES = "list_attr_celeba.txt", "list_eval_partition.txt", "img_align_celeba"


@config
class CelebA(Faces):
    """Tell yes-or-no attributes of a face, all forty or some.

    **Source.** CelebA (Z. Liu, P. Luo, X. Wang, X. Tang, ICCV 2015, https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html):
    202,599 faces of 10,177 people, aligned, 178×218, in a given partition (162,770 / 19,867 / 19,962) that shares no
    person. **License.** Non-commercial research only. **How to obtain.** `list_attr_celeba.txt`,
    `list_eval_partition.txt` and the unpacked `img_align_celeba.zip`, put into `root/celeba`, where torchvision has
    them too. Nothing is downloaded.

    **Construction**, as in the code of PaMaL (github.com/nik-dim/pamal): images resized to 64×64. In memory they take
    2.5 GB.

    **Tasks.** One for each attribute, under its own name: binary cross-entropy and accuracy. The hypervolume of forty
    objectives is of no use; compare fronts of few attributes. COSMOS takes Goatee and Mustache for an easy pair, and
    Oval_Face and Pointy_Nose for a hard one.

    **Network:** ResNet-18 for small images, as for `utkface`.
    """

    name: ClassVar[str] = "celeba"
    directory: ClassVar[str] = "celeba"

    attributes: tuple[str, ...] | None = option(None, help="which attributes, in this order; none: all forty")

    def __attrs_post_init__(self) -> None:
        for name in self._names:
            if name not in ATTRIBUTES:
                guess = nearest(name, ATTRIBUTES)
                hint = f"; did you mean '{guess}'?" if guess else ""
                raise OptionError(
                    f"there is no attribute '{name}'; allowed: {', '.join(ATTRIBUTES)}{hint}", "attributes"
                )
            if self._names.count(name) > 1:
                raise OptionError(f"attributes names '{name}' twice", "attributes")
        if not self._names:
            raise OptionError("attributes must name at least one", "attributes")

    @property
    def _names(self) -> tuple[str, ...]:
        return ATTRIBUTES if self.attributes is None else self.attributes

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One for each attribute."""
        return tuple(Task(name=name, loss=BinaryCrossEntropy(), metrics=(Accuracy(),)) for name in self._names)

    def data(self, split: Split) -> Dataset:
        """Images, uint8 (batches are float32 in [0, 1]), and each attribute (n,), int64: 1 where it is there."""
        position = SPLITS.index(check_split(split))
        folder = self.folder
        for name in (_LABELS, _PARTITION, _IMAGES):
            if not (folder / name).exists():
                raise DataError(
                    f"celeba needs {_LABELS}, {_PARTITION} and the folder {_IMAGES} in {folder}, but there is no "
                    f"{name}. Get them from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html (the images are "
                    "img_align_celeba.zip), or name another folder with the option `root` or the environment variable "
                    f"MOFRAMEWORK_DATA: the one that has {self.directory}."
                )
        names, labels = _attributes(folder / _LABELS, (folder / _LABELS).stat().st_mtime_ns)
        parts = _partition(folder / _PARTITION)
        if names != tuple(parts):
            raise DataError(f"{folder / _LABELS} and {folder / _PARTITION} do not list the same images; get both again")
        rows = np.flatnonzero(np.array(list(parts.values())) == position)
        if not len(rows):
            raise DataError(f"{folder / _PARTITION} puts no image into '{split}' ({position}); get it again")
        targets = {
            name: torch.from_numpy((labels[rows, ATTRIBUTES.index(name)] > 0).astype(np.int64)) for name in self._names
        }
        return self.samples(folder / _IMAGES, names, rows, targets)


@functools.lru_cache(maxsize=2)
def _attributes(path: Path, changed: int) -> tuple[tuple[str, ...], npt.NDArray[np.int8]]:
    """File names, and −1 or 1 for each attribute: (n, 40). Read anew when the file has `changed`."""
    lines = path.read_text().splitlines()
    names = tuple(line.split(None, 1)[0] for line in lines[2:] if line.strip())
    text = " ".join(line.partition(" ")[2] for line in lines[2:])
    if len(lines) < 3 or tuple(lines[1].split()) != ATTRIBUTES or len(text.split()) != len(names) * len(ATTRIBUTES):
        raise DataError(
            f"{path} is not CelebA's list: a line with the number of images, one with the {len(ATTRIBUTES)} names of "
            "attributes, then one for each image with −1 or 1 for each attribute. Get it again"
        )
    return names, np.array(text.split(), dtype=np.int8).reshape(len(names), len(ATTRIBUTES))


def _partition(path: Path) -> dict[str, int]:
    """0, 1 or 2 (train, val, test) for each file name."""
    pairs = [line.split() for line in path.read_text().splitlines() if line.strip()]
    if any(len(pair) != 2 or pair[1] not in ("0", "1", "2") for pair in pairs):
        raise DataError(f"{path} is not CelebA's partition: a file name and 0, 1 or 2 a line. Get it again")
    return {name: int(part) for name, part in pairs}
