"""`images`: a problem of your own, declared in the spec: a folder of images and a table of labels."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from attrs import frozen

from moframework.backbones.base import Backbone
from moframework.backbones.resnet import ResNet
from moframework.config import config, option
from moframework.data import Dataset, Split, check_split
from moframework.data.cell_faults import CellFaults
from moframework.data.images import Images, has_deep_pixels
from moframework.data.table import Column
from moframework.predicting import Reader, Unseen
from moframework.predicting.image_files import ImageReader
from moframework.problem.tabular import KnownTarget, Target, check_columns, check_learned, label_notes, targets_of
from moframework.problem.task import Task

from .table_file import TableFile

__all__ = ["ImageTable"]

_SMALL = 128


@config
class ImageTable(TableFile):
    """A folder of images, and a table (CSV) with a line for each: the name of its file, and what is to be told of it.

    ::

        problem:
          name: images
          folder: photos
          table: labels.csv                 # file,price,sold,room
          targets: {price: regression, sold: binary, room: classes}
          size: [96, 96]

    What a target is gives its loss, metrics and size: see `moframework.problem.tabular.Target`. Any of it can be
    exchanged under `tasks`, and the network under `backbone`. Rows are divided by the column `split`, which says train,
    val or test, else at random by `fractions` and `seed`. The table is read, and unknown labels and those with a full
    stop are taken, as by `csv`: `missing`, `missing_targets`, `names`, `delimiter` and so on mean the same; an image
    need not have every target.

    Images are resized to `size`, whatever their proportions, transparent parts are shown on white, and they reach the
    network as float32. Those of 8 bits are in [0, 1]. Those of 16 bits are in [0, 1] too, by the range of their type
    (65535 is 1), and those of floats or 32-bit integers have the numbers that they have in the file.
    """

    folder: Path = option(help="where the images are")
    table: Path = option(help="the table: delimited text, a line for each image")
    file: str = option("file", help="column with the name of the image, relative to the folder")
    suffix: str = option("", help="what the names in the table lack, such as .png; where it is there it is not added")
    size: tuple[int, int] = option((64, 64), ge=1, le=4096, help="height and width that images are resized to")
    gray: bool = option(False, help="one channel of brightness rather than red, green and blue")
    pixels: Literal["auto", "uint8", "float32"] = option(
        "auto",
        help="how pixels are kept; float32 keeps more than 8 bits, in four times the memory; auto: float32 where the "
        "first image of the table has more",
    )
    in_memory: bool | Literal["auto"] = option(
        "auto", help="keep decoded images in memory; auto: where they take at most a quarter of it"
    )

    @property
    def notes(self) -> tuple[str, ...]:
        """How table and images were taken, where that is not plain. Raises `DataError` as `data` does."""
        whole = self.read(self.table)
        deep = ["images are kept as float32, since the first has more than 8 bits"]
        guessed = self.pixels == "auto" and self._floats(self._names(self._columns()[self.file]))
        return (
            *self.separator_notes(self.table),
            *label_notes(whole, self.targets, self.missing),
            *(deep if guessed else ()),
        )

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One for each target, in the order of the spec. Raises `DataError` where the table does not fit."""
        columns = self._columns()
        return tuple(target.task for target in self._targets(columns, self.rows(columns, self.table)).values())

    @property
    def network(self) -> Backbone:
        """ResNet-18, with a stem for small images where both sides are below 128."""
        small = max(self.size) < _SMALL
        return ResNet(depth=18, stem="small" if small else "image", pool=2 if small else 1)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(3, *size), or (1, *size) for gray images."""
        return (1 if self.gray else 3, *self.size)

    @property
    def reader(self) -> ImageReader:
        """What makes inputs of other images. Raises `DataError` as `data` does."""
        return ImageReader(size=self.size, gray=self.gray, floats=self._floats(self._names(self._columns()[self.file])))

    @property
    def class_names(self) -> Mapping[str, tuple[str, ...]]:
        """The classes of targets, as the table has them. Raises `DataError` as `data` does."""
        columns = self._columns()
        found = self._targets(columns, self.rows(columns, self.table)).values()
        return {target.task.target_key: target.categories for target in found if target.categories}

    def data(self, split: Split) -> Dataset:
        """Images, uint8 or float32, and each target (n,): float32 for regression, else int64."""
        columns = self._columns()
        rows = self.rows(columns, self.table)
        found = self._targets(columns, rows)
        chosen = rows[check_split(split)]
        files = columns[self.file]
        images = self._images(self.table, self.folder, files, self._floats(self._names(files)))
        return images.samples(
            files.codes[chosen], {target.task.target_key: target.values[chosen] for target in found.values()}
        )

    def other_rows(self, path: Path, reader: Reader, targets: Mapping[str, KnownTarget], unseen: Unseen) -> Dataset:
        """See `TableFile.other_rows`: `path` is a folder with a table of the same name in it, or such a table. Images
        lie from it as those of training from theirs."""
        table = path / self.table.name if path.is_dir() else path
        folder = table.parent / os.path.relpath(self.folder, self.table.parent)
        floats = reader.floats if isinstance(reader, ImageReader) else False
        columns = self._columns_of(table, [self.file, *targets])
        files = columns[self.file]
        images = self._images(table, folder, files, floats)
        return images.samples(files.codes, self.values_of(columns, targets, table))

    def _images(self, table: Path, folder: Path, files: Column, floats: bool) -> Images:
        """The images that a column of a table names."""
        return Images(
            problem="images",
            folder=folder,
            names=self._names(files),
            size=self.size,
            gray=self.gray,
            in_memory=self.in_memory,
            floats=floats,
            listed=_Listed(table, files),
        )

    def _columns(self) -> dict[str, Column]:
        """The rows of the table that are learned from, each with the name of an image."""
        return self._columns_of(self.table, [self.file, *self.targets, *([] if self.split is None else [self.split])])

    def _columns_of(self, table: Path, needed: Sequence[str]) -> dict[str, Column]:
        whole = self.read(table)
        split = () if self.split is None else (self.split,)
        check_columns(whole, needed, table, {"split": split, "targets": self.targets, "file": (self.file,)})
        columns = self.learned(whole, table)
        faults, names = CellFaults(), columns[self.file]
        without = [position for position, value in enumerate(names.values) if value in self.missing]
        names.tell(faults, without, lambda _, places: f"column '{self.file}' names no image in {places}")
        faults.check(table, "write the name there, or leave the line out")
        return columns

    def _names(self, files: Column) -> tuple[str, ...]:
        """The files of the images, relative to the folder."""
        return tuple(
            name if name.lower().endswith(self.suffix.lower()) else name + self.suffix for name in files.values
        )

    def _floats(self, names: tuple[str, ...]) -> bool:
        return has_deep_pixels(self.folder / names[0]) if self.pixels == "auto" else self.pixels == "float32"

    def _targets(self, columns: dict[str, Column], rows: Mapping[Split, npt.NDArray[np.int64]]) -> dict[str, Target]:
        found = targets_of(columns, self.targets, rows["train"], self.table, missing=self.missing)
        learned = {
            name: {split: columns[name].take(part) for split, part in rows.items()}
            for name, target in found.items()
            if target.categories
        }
        check_learned(learned, self.table, self.missing)
        return found


@frozen(eq=False)
class _Listed:
    """Where the table names each image first."""

    table: Path
    files: Column

    def __getitem__(self, index: int) -> str:
        return f"{self.table}, {self.files.first(self.files.values[index])}"
