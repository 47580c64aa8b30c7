"""What `csv` and `images` have in common: how a table is written, which rows are learned from, and their splits."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt
from torch import Tensor

from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.data import Dataset, Split, check_fractions
from moframework.data.cell_faults import in_lines_of
from moframework.data.delimited import guessed_delimiter, read_columns
from moframework.data.table import Column
from moframework.errors import DataError, shortened
from moframework.inputs.form import InputShape
from moframework.predicting import Preparation, Reader, Unseen
from moframework.problem import Problem, preparation_of
from moframework.problem.tabular import (
    MISSING,
    KnownTarget,
    MissingTargets,
    TargetKind,
    check_targets,
    labeled,
    respelled,
    split_rows,
)
from moframework.problem.task import Task
from moframework.problem.wrapping import WrappedProblem

__all__ = ["PreparedTable", "TableFile"]

_MARKS = {",": "commas", "\t": "tabs", ";": "semicolons"}


@config
class TableFile(Problem):
    """A problem whose targets are columns of a table in delimited text."""

    targets: dict[str, TargetKind] = option(help="the columns to tell, and what each is: regression, binary or classes")
    # On the interface this name is a class method: the parts that are registered.
    names: tuple[str, ...] | None = option(  # type: ignore[assignment]
        None, help="names of the columns, in order, where the file has no line with them; none: it has"
    )
    skip: int = option(0, ge=0, le=1_000_000, help="lines at the beginning of the file that are left out")
    comment: str | None = option(None, help="lines that begin with this are left out, such as '#'; none: no lines are")
    delimiter: str = option(
        "auto",
        help="what separates the cells of a row, one character; auto: commas, or tabs or semicolons where the first "
        "row has no comma",
    )
    missing: tuple[str, ...] = option(
        MISSING, help="cells that mean unknown; a list of your own stands for all of these"
    )
    missing_targets: MissingTargets = option(
        "keep",
        help="rows that lack some of their targets: keep trains each task on those that have its own, drop leaves them "
        "out, refuse makes them an error",
    )
    split: str | None = option(None, help="column with train, val or test in each row; none: rows are split at random")
    fractions: tuple[float, float, float] = option(
        (0.7, 0.1, 0.2), ge=0, help="shares of train, val and test, where no column says"
    )
    seed: int = option(0, ge=0, lt=2**32, help="of the random split")

    def __attrs_post_init__(self) -> None:
        check_targets(self.targets)
        check_fractions(self.fractions)
        if self.delimiter != "auto" and (len(self.delimiter) != 1 or self.delimiter in '"\r\n\0'):
            raise OptionError(
                "delimiter must be one character, neither a quote nor the end of a line, but it is "
                f"{shortened(repr(self.delimiter))}; auto, which is the default, looks at the first row",
                "delimiter",
            )
        if self.comment is not None and (not self.comment.strip() or "\n" in self.comment or "\r" in self.comment):
            raise OptionError("comment must be what lines begin with, such as '#', or null", "comment")
        for name in self.names or ():
            if self.names is not None and self.names.count(name) > 1:
                raise OptionError(f"names has '{shortened(name)}' twice", "names")

    @abstractmethod
    def other_rows(self, path: Path, reader: Reader, targets: Mapping[str, KnownTarget], unseen: Unseen) -> Dataset:
        """The rows of another table that have targets.

        Args:
            path: the table, laid out as this one.
            reader: what a model was saved with.
            targets: by the name of their column, in order.
            unseen: see `Problem.of_file`.

        Raises:
            DataError: it cannot be read, or not as in training.
        """

    @final
    def prepared(self, preparation: Preparation) -> Problem:
        """See `Problem.prepared`."""
        return PreparedTable(table=self, preparation=preparation)

    @final
    def of_file(self, path: Path, unseen: Unseen = "refuse") -> Dataset | None:
        """The rows of another table that have targets, read as the training rows are."""
        return self.prepared(preparation_of(self)).of_file(path, unseen)

    @final
    def values_of(
        self, columns: Mapping[str, Column], targets: Mapping[str, KnownTarget], path: Path
    ) -> dict[str, Tensor]:
        """Targets of rows, by key. Raises `DataError`, with what is wrong of all targets."""
        found, wrong = {}, []
        for name, target in targets.items():
            try:
                found[target.task.target_key] = target.values(columns[name], self.missing)
            except DataError as error:
                wrong.append(in_lines_of(error, path))
        if wrong:
            raise DataError("\n".join(wrong))
        return found

    @final
    def read(self, path: Path) -> dict[str, Column]:
        """All columns of the table at `path`. Raises `DataError`."""
        names = None if self.names is None else [name.strip() for name in self.names]
        return read_columns(path, names, delimiter=self.separator(path), comment=self.comment, skip=self.skip)

    @final
    def learned(self, whole: dict[str, Column], path: Path) -> dict[str, Column]:
        """The rows of the table that are learned from, each class of a target under one label. Raises `DataError`."""
        kept = labeled(whole, self.targets, self.missing, self.missing_targets, path)
        table = {name: column.take(kept) for name, column in whole.items()}
        return respelled(table, self.targets, self.missing)

    @final
    def separator(self, path: Path) -> str:
        """What separates the cells of the table at `path`."""
        if self.delimiter != "auto":
            return self.delimiter
        return guessed_delimiter(path, self.names, comment=self.comment, skip=self.skip)

    @final
    def separator_notes(self, path: Path) -> list[str]:
        """What to tell of a delimiter that was guessed."""
        found = self.separator(path)
        return [f"{path.name} is separated by {_MARKS[found]}"] if self.delimiter == "auto" and found != "," else []

    @final
    def rows(self, columns: dict[str, Column], path: Path) -> dict[Split, npt.NDArray[np.int64]]:
        """Which rows are in which split. Raises `DataError`."""
        return split_rows(columns, self.split, self.fractions, self.seed, path)


@config
class PreparedTable(WrappedProblem):
    """A table whose tasks, classes, units and reader are those that were saved with a model. Only its splits ask for
    the table that was trained on."""

    table: TableFile = option(help="the problem")
    preparation: Preparation = option(help="what was saved with the model; it answers for each of the targets")

    @property
    def wrapped(self) -> TableFile:
        """The problem."""
        return self.table

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One for each target, in the order of the spec."""
        return tuple(target.task for target in self._targets.values())

    @property
    def reader(self) -> Reader | None:
        """The saved one."""
        return self.preparation.reader

    @property
    def input_shape(self) -> InputShape:
        """That of the saved reader."""
        return self.table.input_shape if self.reader is None else self.reader.input_shape

    @property
    def class_names(self) -> Mapping[str, tuple[str, ...]]:
        """The saved ones."""
        return {known.task.target_key: known.categories for known in self._targets.values() if known.categories}

    def of_file(self, path: Path, unseen: Unseen = "refuse") -> Dataset | None:
        """The rows of another table that have targets, read as the training rows were."""
        return None if self.reader is None else self.table.other_rows(path, self.reader, self._targets, unseen)

    def prepared(self, preparation: Preparation) -> Problem:
        """With what another model was saved with."""
        return PreparedTable(table=self.table, preparation=preparation)

    @property
    def _targets(self) -> dict[str, KnownTarget]:
        answers = {answer.task: answer for answer in self.preparation.answers}
        return {name: KnownTarget.of(name, kind, answers) for name, kind in self.table.targets.items()}
