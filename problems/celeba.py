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
from moframework.data.delimited import read_columns
from moframework.errors import DataError, meant, shortened
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
    them too. Kaggle's copy will do as it is: `list_attr_celeba.csv` and `list_eval_partition.csv`, and the folder
    `img_align_celeba` twice, one in the other. Nothing is downloaded.

    **Construction**, as in the code of PaMaL (github.com/nik-dim/pamal): images resized to 64×64. In memory they take
    2.5 GB.

    **Tasks.** One for each attribute, under its own name: binary cross-entropy and accuracy. The hypervolume of forty
    objectives is of no use; compare fronts of few attributes. COSMOS takes Goatee and Mustache for an easy pair, and
    Oval_Face and Pointy_Nose for a hard one.

    **Network:** ResNet-18 for small images, as for `utkface`.

    Two attributes that are hard to tell together::

        problem: {name: celeba, attributes: [Oval_Face, Pointy_Nose]}
        solver: palora
    """

    name: ClassVar[str] = "celeba"
    directory: ClassVar[str] = "celeba"

    attributes: tuple[str, ...] | None = option(None, help="which attributes, in this order; none: all forty")

    def __attrs_post_init__(self) -> None:
        for name in self._names:
            if name not in ATTRIBUTES:
                near = meant(name, ATTRIBUTES)
                raise OptionError(
                    f"there is no attribute '{name}'; {near}allowed: {', '.join(ATTRIBUTES)}", "attributes"
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
        labels_file, partition_file = (_text_or_csv(folder / name) for name in (_LABELS, _PARTITION))
        for path in (labels_file, partition_file, folder / _IMAGES):
            if not path.exists():
                raise DataError(
                    f"celeba needs {_LABELS}, {_PARTITION} (or both as .csv) and the folder {_IMAGES} in {folder}, but "
                    f"there is no {path.name}. Get them from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html (the "
                    "images are img_align_celeba.zip), or name another folder with the option `root` or the "
                    f"environment variable MOFRAMEWORK_DATA: the one that has {self.directory}."
                )
        names, labels = _attributes(labels_file, labels_file.stat().st_mtime_ns)
        parts = _partition(partition_file)
        if names != tuple(parts):
            raise DataError(f"{labels_file} and {partition_file} do not list the same images; get both again")
        rows = np.flatnonzero(np.array(list(parts.values())) == position)
        if not len(rows):
            raise DataError(f"{partition_file} puts no image into '{split}' ({position}); get it again")
        targets = {
            name: torch.from_numpy((labels[rows, ATTRIBUTES.index(name)] > 0).astype(np.int64)) for name in self._names
        }
        images = folder / _IMAGES
        twice = images / _IMAGES
        return self.samples(twice if twice.is_dir() else images, names, rows, targets)


def _text_or_csv(path: Path) -> Path:
    """The list of that name, or the table (CSV) in its place where there is none."""
    table = path.with_suffix(".csv")
    return table if table.exists() and not path.exists() else path


@functools.lru_cache(maxsize=2)
def _attributes(path: Path, changed: int) -> tuple[tuple[str, ...], npt.NDArray[np.int8]]:
    """File names, and −1 or 1 for each attribute: (n, 40). Read anew when the file has `changed`."""
    if path.suffix == ".csv":
        return _attributes_table(path)
    lines = path.read_text().splitlines()
    names = tuple(line.split(None, 1)[0] for line in lines[2:] if line.strip())
    text = " ".join(line.partition(" ")[2] for line in lines[2:])
    if len(lines) < 3 or tuple(lines[1].split()) != ATTRIBUTES or len(text.split()) != len(names) * len(ATTRIBUTES):
        raise DataError(
            f"{path} is not CelebA's list: a line with the number of images, one with the {len(ATTRIBUTES)} names of "
            "attributes, then one for each image with −1 or 1 for each attribute. Get it again"
        )
    return names, np.array(text.split(), dtype=np.int8).reshape(len(names), len(ATTRIBUTES))


def _attributes_table(path: Path) -> tuple[tuple[str, ...], npt.NDArray[np.int8]]:
    """What `_attributes` returns, from a table: a line with the names of the columns, then one for each image. Any
    value but −1 and 1 (0 is written for −1 too) is refused."""
    (first, files), *columns = read_columns(path).items()
    found = dict(columns)
    if set(found) != set(ATTRIBUTES):
        raise DataError(
            f"{path} is not CelebA's list: beside the column '{shortened(first)}' of file names it must have one for "
            f"each of the {len(ATTRIBUTES)} attributes. Get it again"
        )
    known = {"-1": -1, "0": -1, "1": 1}
    for column in found.values():
        for value in column.values:
            if value not in known:
                raise DataError(
                    f"{path}: column '{column.name}' has '{shortened(value)}' in {column.first(value)}, but attributes "
                    "are −1 or 1. Get it again"
                )
    labels = np.stack([found[name].mapped(known) for name in ATTRIBUTES], axis=1).astype(np.int8)
    return tuple(files.values[code] for code in files.codes.tolist()), labels


def _partition(path: Path) -> dict[str, int]:
    """0, 1 or 2 (train, val, test) for each file name."""
    if path.suffix == ".csv":
        columns = list(read_columns(path).values())
        rows = [[column.values[code] for code in column.codes.tolist()] for column in columns]
        return _checked_partition(path, [list(row) for row in zip(*rows, strict=True)])
    return _checked_partition(path, [line.split() for line in path.read_text().splitlines() if line.strip()])


def _checked_partition(path: Path, pairs: list[list[str]]) -> dict[str, int]:
    if any(len(pair) != 2 or pair[1] not in ("0", "1", "2") for pair in pairs):
        raise DataError(f"{path} is not CelebA's partition: a file name and 0, 1 or 2 a line. Get it again")
    return {name: int(part) for name, part in pairs}
