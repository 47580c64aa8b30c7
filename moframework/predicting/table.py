"""The reader `table`: rows of a table with the columns of the one that was trained on."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.data.cell_faults import CellFaults, in_lines_of
from moframework.data.delimited import first_row, guessed_delimiter, read_parts
from moframework.data.table import Column, Standardization, check_reach, is_number, one_hot
from moframework.errors import DataError, nearest, shortened
from moframework.predicting.columns import columns_in_memory, parquet_parts
from moframework.predicting.reader import Part, Reader, Reading

__all__ = ["CategoryColumn", "NumberColumn", "TableReader"]

_SHOWN = 5  # categories that a message names
_LISTED = 50  # columns that a message names
_ROWS = "the rows given"  # what those in memory are called


@config
class NumberColumn:
    """A column of numbers, which are standardized."""

    column: str = option(help="name of the column")
    mean: float = option(help="mean of the training rows")
    scale: float = option(gt=0, help="their standard deviation")
    marked: bool = option(False, help="an input tells where the number is missing")

    def __attrs_post_init__(self) -> None:
        for key, number in (("mean", self.mean), ("scale", self.scale)):
            if not math.isfinite(number):
                raise OptionError(f"{key} must be finite, but it is {number}", key)


@config
class CategoryColumn:
    """A column of categories, each of which is an input."""

    column: str = option(help="name of the column")
    categories: tuple[str, ...] = option(help="those of the training rows, in order")
    zeros: tuple[str, ...] = option((), help="further ones that are known, and no input, such as the other of two")


@config
class TableReader(Reader):
    """Rows of a table with the columns of the one that was trained on: numbers standardized by the training rows,
    marks where they are missing, one-hot categories.

    A table is a delimited text file (plain or .gz), a .parquet file, a data frame, a mapping from names of columns to
    cells, or a list of mappings, a row each. Columns are found by their names, in any order; those of targets may be
    missing.

    >>> age = NumberColumn(column="age", mean=40.0, scale=10.0)
    >>> reader = TableReader(numbers=(age,), categories=(CategoryColumn(column="sex", categories=("f", "m")),))
    >>> part = next(reader.parts({"age": [50, 40], "sex": ["m", "f"]}, Reading()))
    >>> part.inputs.tolist()
    [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """

    numbers: tuple[NumberColumn, ...] = option((), help="columns of numbers, in the order of the inputs")
    categories: tuple[CategoryColumn, ...] = option((), help="columns of categories, likewise; they come after numbers")
    others: tuple[str, ...] = option((), help="columns of the table that was trained on that are no inputs")
    # On the interface this name is a class method: the parts that are registered.
    names: tuple[str, ...] | None = option(  # type: ignore[assignment]
        None, help="names of the columns, in order, where the file has no line with them; none: it has"
    )
    skip: int = option(0, ge=0, le=1_000_000, help="lines at the beginning of the file that are left out")
    comment: str | None = option(None, help="lines that begin with this are left out")
    delimiter: str = option("auto", help="what separates the cells of a row; auto: as the first row says")
    missing: tuple[str, ...] = option((), help="cells that mean unknown")

    def __attrs_post_init__(self) -> None:
        twins = [name for name, count in Counter(self.columns).items() if count > 1]
        if twins:
            raise OptionError(f"column '{shortened(twins[0])}' comes twice", "numbers")
        if self.delimiter != "auto" and (len(self.delimiter) != 1 or self.delimiter in '"\r\n\0'):
            raise OptionError("delimiter must be one character, neither a quote nor the end of a line", "delimiter")
        if not self.input_shape[0]:
            raise OptionError("there is no input", "numbers")

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that are inputs."""
        return (*(each.column for each in self.numbers), *(each.column for each in self.categories))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(width,): numbers, marks of missing numbers, categories."""
        marks = sum(each.marked for each in self.numbers)
        return (len(self.numbers) + marks + sum(len(each.categories) for each in self.categories),)

    def inputs(self, columns: Mapping[str, Column]) -> Tensor:
        """Inputs (n, width), float32, of the rows of a table. A category that training never saw is unknown.

        Raises:
            DataError: a number is none, or out of all proportion to those of training; the text names column and place.
        """
        blocks = []
        if self.numbers:
            given = [columns[each.column] for each in self.numbers]
            faults = CellFaults()
            for column in given:
                column.find_faults(faults, self.missing)
            faults.check()
            numbers = np.stack([column.numbers(self.missing) for column in given], axis=1)
            standard = Standardization(
                np.array([each.mean for each in self.numbers]), np.array([each.scale for each in self.numbers])
            )(numbers)
            check_reach(standard, given)
            marked = np.array([each.marked for each in self.numbers])
            blocks += [standard, torch.from_numpy(np.isnan(numbers[:, marked])).float()]
        if self.categories:
            codes = torch.stack([columns[each.column].positions(each.categories) for each in self.categories], dim=1)
            blocks.append(one_hot(codes, [len(each.categories) for each in self.categories]))
        return torch.cat(blocks, dim=1)

    def parts(self, raw: Any, reading: Reading) -> Iterator[Part]:
        """Rows of a table, in their order; see `Reader.parts`."""
        what, columns = self._tables(raw)
        first = True
        for table in columns:
            if first:
                self._check_columns(what, table, reading)
                first = False
            made = self._made(what, {name: table[name] for name in self.columns}, reading)
            yield Part(made, {name: [table[name].values[code] for code in table[name].codes] for name in reading.keep})

    def _made(self, what: str, used: Mapping[str, Column], reading: Reading) -> Tensor:
        """Inputs of rows. Raises `DataError` with what is wrong of categories and of numbers."""
        wrong = []
        try:
            if reading.unseen == "refuse":
                self._check_categories(used, reading.missing_option)
        except DataError as error:
            wrong.append(in_lines_of(error, what))
        try:
            made = self.inputs(used)
        except DataError as error:
            wrong.append(in_lines_of(error, what))
        if wrong:
            raise DataError("\n".join(wrong))
        return made

    def columns_of(self, raw: Any, reading: Reading) -> dict[str, Column]:
        """The columns of a whole table that are inputs or to be kept, checked as by `parts`.

        Raises:
            DataError: as by `parts`.
        """
        what, tables = self._tables(raw)
        names = tuple(dict.fromkeys((*self.columns, *reading.keep)))
        parts: list[dict[str, Column]] = []
        for table in tables:
            if not parts:
                self._check_columns(what, table, reading)
            parts.append({name: table[name] for name in names})
        whole = {name: Column.joined([part[name] for part in parts]) for name in names}
        if reading.unseen == "refuse":
            try:
                self._check_categories(whole, reading.missing_option)
            except DataError as error:
                raise DataError(in_lines_of(error, what)) from None
        return whole

    def _tables(self, raw: Any) -> tuple[str, Iterator[dict[str, Column]]]:
        """What the raw data is called, and its columns, some rows at a time."""
        if isinstance(raw, str | Path):
            path = Path(raw)
            if path.suffix == ".parquet":
                return str(path), (self._respelled(part) for part in parquet_parts(path, self._empty))
            return str(path), self._text_parts(path)
        return _ROWS, iter([self._respelled(columns_in_memory(raw, self._empty))])

    @property
    def _empty(self) -> str:
        """The text of a cell without a value."""
        return self.missing[0] if self.missing and "" not in self.missing else ""

    def _respelled(self, columns: dict[str, Column]) -> dict[str, Column]:
        """Categories that are numbers as training has them: numbers in memory have lost how they were written, and 3
        may have become 3.0 beside cells without a value."""
        for each in self.categories:
            if each.column not in columns:
                continue
            known = {float(name): name for name in reversed(each.categories) if is_number(name)}
            others = [v for v in columns[each.column].values if v not in each.categories and is_number(v)]
            same = {value: known[float(value)] for value in others if float(value) in known}
            columns[each.column] = columns[each.column].replaced(same)
        return columns

    def _text_parts(self, path: Path) -> Iterator[dict[str, Column]]:
        """The rows of a text file, read as the one that was trained on."""
        names = None if self.names is None else [name.strip() for name in self.names]
        mark = self.delimiter
        if mark == "auto":
            mark = guessed_delimiter(path, names, comment=self.comment, skip=self.skip)
        if names is not None:
            found = first_row(path, delimiter=mark, comment=self.comment, skip=self.skip)
            inputs = [name for name in names if name not in self.others]
            if {*inputs} <= {*found}:
                names = None  # this file has a line with the names
            elif len(found) == len(inputs) != len(names):
                names = inputs  # and this one has no columns but the inputs
        return read_parts(path, names, delimiter=mark, comment=self.comment, skip=self.skip)

    def _check_columns(self, what: str, table: Mapping[str, Column], reading: Reading) -> None:
        """Raise `DataError` where columns are missing; all are told at once. Further columns are noted."""
        known = {*self.columns, *self.others}
        strangers = [name for name in table if name not in known]
        faults = []
        for name in (*self.columns, *reading.keep):
            if name not in table:
                near = nearest(name, strangers or table)
                guess = f"; did you mean '{shortened(near)}'?" if near else ""
                faults.append(f"{what} {'have' if what == _ROWS else 'has'} no column '{shortened(name)}'{guess}")
        if faults:
            have = ", ".join(shortened(name) for name in itertools.islice(table, _LISTED)) or "none"
            more = f" and {len(table) - _LISTED:,} more" if len(table) > _LISTED else ""
            subject = "They have" if what == _ROWS else "It has"
            raise DataError("\n".join([*faults, f"{subject} {have}{more}; the model reads {_listed(self.columns)}"]))
        left = [name for name in strangers if name not in reading.keep]
        if left:
            reading.note(f"{what}: not read, since the model was trained without: {_listed(left)}")

    def _check_categories(self, columns: Mapping[str, Column], missing_option: str) -> None:
        """Raise `DataError` where there are categories that training never saw; all columns are told at once."""
        faults = []
        for each in self.categories:
            known = {*each.categories, *each.zeros, *self.missing}
            new = [value for value in columns[each.column].values if value not in known]
            if new:
                faults.append(_unseen_words(columns[each.column], new, (*each.categories, *each.zeros)))
        if faults:
            hint = f"Correct them, or count such cells as unknown: {missing_option}"
            raise DataError("\n".join([*faults, hint]))


def _unseen_words(column: Column, new: Sequence[str], categories: Sequence[str]) -> str:
    shown = [f"'{shortened(value)}' in {column.places(value)}" for value in new[:_SHOWN]]
    more = f" and {len(new) - _SHOWN:,} more" if len(new) > _SHOWN else ""
    near = nearest(new[0], categories)
    guess = f"; did you mean '{shortened(near)}'?" if near else "."
    saw = _listed([f"'{name}'" for name in categories]) or "none"
    return (
        f"column '{shortened(column.name)}' has {', '.join(shown)}{more}, which training never saw{guess} It saw {saw}"
    )


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    shown = ", ".join(shortened(name) for name in every[:_LISTED])
    return shown if len(every) <= _LISTED else f"{shown} and {len(every) - _LISTED:,} more"
