"""`images`: a problem of your own, declared in the spec: a folder of images and a table of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from moframework.backbones.base import Backbone
from moframework.backbones.resnet import ResNet
from moframework.config import config, option
from moframework.data import Dataset, Split, check_fractions, check_split
from moframework.data.images import Images
from moframework.data.table import Column, read_columns
from moframework.problem import Problem
from moframework.problem.tabular import (
    MISSING,
    MissingTargets,
    Target,
    TargetKind,
    check_targets,
    column_of,
    labeled,
    split_rows,
    targets_of,
)
from moframework.problem.task import Task

__all__ = ["ImageTable"]

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

    What a target is gives its loss, metrics and size: see `moframework.problem.tabular.Target`. Any of it can be
    exchanged under `tasks`, and the network under `backbone`. An image need not have every target: each task is trained
    and judged on those that have its own, and one that has none is left out (`missing_targets`). Rows are divided by
    the column `split`, which says train, val or test, else at random by `fractions` and `seed`. Images are resized to
    `size`, whatever their proportions, and reach the network as float32 in [0, 1].
    """

    folder: Path = option(help="where the images are")
    table: Path = option(help="the table: text with commas, a header, a line for each image")
    targets: dict[str, TargetKind] = option(help="the columns to tell, and what each is: regression, binary or classes")
    file: str = option("file", help="column with the name of the image, relative to the folder")
    missing: tuple[str, ...] = option(MISSING, help="cells of targets that mean unknown")
    missing_targets: MissingTargets = option(
        "keep",
        help="images that lack some of their targets: keep trains each task on those that have its own, drop leaves "
        "them out, refuse makes them an error",
    )
    split: str | None = option(None, help="column with train, val or test in each row; none: rows are split at random")
    fractions: tuple[float, float, float] = option(
        (0.7, 0.1, 0.2), ge=0, help="shares of train, val and test, where no column says"
    )
    seed: int = option(0, ge=0, lt=2**32, help="of the random split")
    size: tuple[int, int] = option((64, 64), ge=1, le=4096, help="height and width that images are resized to")
    gray: bool = option(False, help="one channel of brightness rather than red, green and blue")
    in_memory: bool | Literal["auto"] = option(
        "auto", help="keep decoded images in memory; auto: where they take at most a quarter of it"
    )

    def __attrs_post_init__(self) -> None:
        check_targets(self.targets)
        check_fractions(self.fractions)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One for each target, in the order of the spec. Raises `DataError` where the table does not fit."""
        columns = self._columns()
        return tuple(target.task for target in self._targets(columns, self._rows(columns)["train"]).values())

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
        rows = self._rows(columns)
        found = self._targets(columns, rows["train"])
        chosen = rows[check_split(split)]
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
            files.codes[chosen], {target.task.target_key: target.values[chosen] for target in found.values()}
        )

    def _columns(self) -> dict[str, Column]:
        columns = read_columns(self.table)
        kept = labeled(columns, self.targets, self.missing, self.missing_targets, self.table)
        return {name: column.take(kept) for name, column in columns.items()}

    def _rows(self, columns: dict[str, Column]) -> dict[Split, npt.NDArray[np.int64]]:
        return split_rows(columns, self.split, self.fractions, self.seed, self.table)

    def _targets(self, columns: dict[str, Column], train: npt.NDArray[np.int64]) -> dict[str, Target]:
        return targets_of(columns, self.targets, train, self.table, missing=self.missing)
