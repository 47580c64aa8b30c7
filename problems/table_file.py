"""What `csv` and `images` have in common: how a table is written, which rows are learned from, and their splits."""

from __future__ import annotations

from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt

from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.data import Split, check_fractions
from moframework.data.delimited import guessed_delimiter, read_columns
from moframework.data.table import Column
from moframework.errors import shortened
from moframework.problem import Problem
from moframework.problem.tabular import (
    MISSING,
    MissingTargets,
    TargetKind,
    check_targets,
    labeled,
    respelled,
    split_rows,
)

__all__ = ["TableFile"]

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
    missing: tuple[str, ...] = option(MISSING, help="cells that mean unknown")
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
