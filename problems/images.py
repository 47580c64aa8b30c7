"""`images`: a problem of your own, declared in the spec: a folder of images and a table of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from moframework.backbones.base import Backbone
from moframework.backbones.resnet import ResNet
from moframework.columns import Column, read_columns
from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.data import SPLITS, Dataset, Split, check_split, dealt
from moframework.errors import DataError
from moframework.imagefiles import Images
from moframework.problem import Problem
from moframework.targets import TargetKind, column_of, targets_of
from moframework.tasks import Task

__all__ = ["ImageTable"]

_SPLIT_NAMES = {"train": 0, "val": 1, "valid": 1, "validation": 1, "test": 2}
_SMALL = 128


@config
class ImageTable(Problem):
    """A folder of images, and a table (CSV) with a line for each: the name of its file, and what is to be told of it.

    ::

        problem:
          name: images
          folder: photos
          table: labels.csv                 # file,price,sold,room
          targets: {price: regression, sold: binary, room: classes}
          size: [96, 96]

    What a target is gives its loss, metrics and size: see `moframework.targets.Target`. Any of it can be exchanged
    under `tasks`, and the network under `backbone`. Rows are divided by the column `split`, which says train,
    val or test, else at random by `fractions` and `seed`. Images are resized to `size`, whatever their proportions, and
    reach the network as float32 in [0, 1].
    """

    folder: Path = option(help="where the images are")
    table: Path = option(help="the table: text with commas, a header, a line for each image")
    targets: dict[str, TargetKind] = option(help="the columns to tell, and what each is: regression, binary or classes")
    file: str = option("file", help="column with the name of the image, relative to the folder")
    split: str | None = option(None, help="column with train, val or test in each row; none: rows are dealt out")
    fractions: tuple[float, float, float] = option(
        (0.7, 0.1, 0.2), ge=0, help="shares of train, val and test, where no column says"
    )
    seed: int = option(0, ge=0, lt=2**32, help="of the random split")
    size: tuple[int, int] = option((64, 64), ge=1, help="height and width that images are resized to")
    gray: bool = option(False, help="one channel of brightness rather than red, green and blue")
    in_memory: bool | Literal["auto"] = option(
        "auto", help="keep decoded images in memory; auto: where they take at most a quarter of it"
    )

    def __attrs_post_init__(self) -> None:
        if not self.targets:
            raise OptionError("targets must name at least one column", "targets")
        if abs(sum(self.fractions) - 1) > 1e-6:
            raise OptionError(f"fractions must add up to 1, but add up to {sum(self.fractions):g}", "fractions")

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One for each target, in the order of the spec. Raises `DataError` where the table does not fit."""
        columns = self._columns()
        found = targets_of(columns, self.targets, self._rows(columns, "train"), self.table)
        return tuple(target.task for target in found.values())

    @property
    def network(self) -> Backbone:
        """ResNet-18, with a stem for small images where both sides are below 128."""
        small = max(self.size) < _SMALL
        return ResNet(depth=18, stem="small" if small else "image", pool=2 if small else 1)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(3, *size), or (1, *size) for gray images."""
        return (1 if self.gray else 3, *self.size)

    def data(self, split: Split) -> Dataset:
        """Images, uint8, and each target (n,): float32 for regression, else int64."""
        columns = self._columns()
        rows = self._rows(columns, check_split(split))
        if not len(rows):
            where = f"the column '{self.split}'" if self.split else "the option `fractions`"
            raise DataError(f"{self.table} has no rows for '{split}': change {where}")
        found = targets_of(columns, self.targets, self._rows(columns, "train"), self.table)
        files = column_of(columns, self.file, self.table)
        images = Images(
            problem="images",
            folder=self.folder,
            names=files.values,
            size=self.size,
            gray=self.gray,
            in_memory=self.in_memory,
        )
        return images.samples(
            files.codes[rows], {target.task.target_key: target.values[rows] for target in found.values()}
        )

    def _columns(self) -> dict[str, Column]:
        return read_columns(self.table)

    def _rows(self, columns: dict[str, Column], split: Split) -> npt.NDArray[np.int64]:
        """Rows of a split, in the order of the table."""
        position = SPLITS.index(split)
        if self.split is None:
            count = len(column_of(columns, self.file, self.table))
            return np.flatnonzero(dealt(count, self.fractions, self.seed) == position)
        column = column_of(columns, self.split, self.table)
        for value in column.values:
            if value.lower() not in _SPLIT_NAMES:
                raise DataError(
                    f"{self.table}: column '{column.name}' must say train, val or test, but has '{value}' in a row"
                )
        wanted = [_SPLIT_NAMES[value.lower()] == position for value in column.values]
        return np.flatnonzero(np.array(wanted)[column.codes])
