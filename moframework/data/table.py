"""Columns of tables, and how they become tensors: one-hot categories, standardized numbers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from attrs import frozen
from torch import Tensor

from moframework.data.cell_faults import CellFaults
from moframework.errors import shortened

__all__ = [
    "Column",
    "Lines",
    "Standardization",
    "check_reach",
    "in_order",
    "is_number",
    "one_hot",
]

_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]+)?|[-+]?(?:inf|infinity|nan)", re.IGNORECASE)
_PLACES = 3  # lines that are told of a value that occurs in many
_DIGITS = 400  # the largest float has 309
# What people write for numbers and this reader takes for none: decimal commas, marks between thousands, percent signs
# and currencies, digits of other scripts.
_ALMOST = re.compile(r"[-+\u2212]?[$€£¥]?\s?(?:\d+(?:[.,]\d+)?|\d{1,3}(?:[,.'_\s]\d{3})+(?:[.,]\d+)?)\s?[%$€£¥]?")
_LARGEST = float(np.finfo(np.float32).max)


@frozen(eq=False)
class Column:
    """A column of text, each distinct value kept once.

    >>> column = Column.of("color", ["red", "blue", "red"])
    >>> column.values, column.codes.tolist()
    (('red', 'blue'), [0, 1, 0])
    """

    name: str
    values: tuple[str, ...]
    """The distinct values that occur, in the order they first do so in the whole table."""
    codes: npt.NDArray[np.int32]
    """For each of the n rows, which of `values` it has: (n,)."""
    lines: npt.NDArray[np.int32] | None = None
    """For each row the line of its file in which it begins, counted from 1: (n,); None where there is no file."""

    @classmethod
    def of(cls, name: str, cells: Sequence[str]) -> Column:
        """A column from the text of its cells."""
        known: dict[str, int] = {}
        codes = np.array([known.setdefault(cell, len(known)) for cell in cells], dtype=np.int32)
        return cls(name, tuple(known), codes)

    @classmethod
    def joined(cls, parts: Sequence[Column]) -> Column:
        """The rows of one column after the other, such as those of several files.

        >>> Column.joined([Column.of("color", ["red", "blue"]), Column.of("color", ["blue"])]).codes.tolist()
        [0, 1, 1]
        """
        values = tuple(dict.fromkeys(value for part in parts for value in part.values))
        codes = np.concatenate([part.positions(values).numpy().astype(np.int32) for part in parts])
        lines = [part.lines for part in parts if part.lines is not None]
        return cls(parts[0].name, values, codes, np.concatenate(lines) if len(lines) == len(parts) else None)

    def __len__(self) -> int:
        return len(self.codes)

    def place(self, row: int) -> str:
        """Where a row (counted from 0) is, for messages: its line in the file, or, where there is none, which row it
        is, counted from 1.

        >>> Column.of("color", ["red", "blue"]).place(1)
        'row 2'
        """
        return f"row {1 + row}" if self.lines is None else f"line {int(self.lines[row])}"

    def first(self, value: str) -> str:
        """The `place` of the first row that has `value`, which occurs."""
        return self.place(int(np.argmax(self.codes == self.values.index(value))))

    def places(self, value: str) -> str:
        """The lines of the rows that have `value`, which occurs; of many the first.

        >>> Column.of("color", ["red", "blue", "red"]).places("red")
        'rows 1 and 3'
        """
        rows = np.flatnonzero(self.codes == self.values.index(value))
        if len(rows) == 1:
            return self.place(int(rows[0]))
        what = "rows" if self.lines is None else "lines"
        numbers = [self.place(int(row)).partition(" ")[2] for row in rows[:_PLACES]]
        if len(rows) > _PLACES:
            return f"{what} {', '.join(numbers)} and {len(rows) - _PLACES:,} more"
        return f"{what} {', '.join(numbers[:-1])} and {numbers[-1]}"

    def mapped(self, table: Mapping[str, float] | Sequence[float]) -> npt.NDArray[np.float64]:
        """A number for each row, (n,): by value, or by the position of the value in `values`."""
        numbers = [table[value] for value in self.values] if isinstance(table, Mapping) else table
        found: npt.NDArray[np.float64] = np.asarray(numbers, dtype=np.float64)[self.codes]
        return found

    def numbers(self, missing: Sequence[str] = ()) -> npt.NDArray[np.float64]:
        """The cells as numbers, (n,); nan for those that are one of `missing`.

        Args:
            missing: cells that mean unknown.

        Raises:
            DataError: a cell is no finite number, or beyond those of 32 bits; the text names all of them and their
                places.
        """
        faults, (parsed, wrong) = CellFaults(), self._parsed(missing)
        self.tell(faults, wrong, self._no_number)
        faults.check()
        return self.mapped(parsed)

    def find_faults(self, faults: CellFaults, missing: Sequence[str] = ()) -> None:
        """Tell the cells that `numbers` refuses."""
        self.tell(faults, self._parsed(missing)[1], self._no_number)

    def _parsed(self, missing: Sequence[str]) -> tuple[list[float], list[int]]:
        """Each of `values` as a number, nan where it is unknown or none, and the positions of those that are none."""
        without, parsed, wrong = frozenset(missing), list[float](), list[int]()
        for position, value in enumerate(self.values):
            number = float("nan") if value in without else _number(value)
            parsed.append(float("nan") if number is None else number)
            if value not in without and not abs(parsed[-1]) <= _LARGEST:
                wrong.append(position)
        return parsed, wrong

    def tell(self, faults: CellFaults, wrong: Sequence[int], words: Callable[[str, str], str]) -> None:
        """Tell the cells that have one of some values.

        Args:
            wrong: positions of these in `values`.
            words: from a value and the lines that have it to what is to be said.

        >>> faults = CellFaults()
        >>> Column.of("size", ["1", "x", "x"]).tell(faults, [1], lambda value, places: f"'{value}' in {places}")
        >>> faults.check("t.csv")
        Traceback (most recent call last):
        moframework.errors.DataError: t.csv: 'x' in rows 2 and 3
        """
        if not wrong:
            return
        cells, room = np.bincount(self.codes, minlength=len(self.values)), faults.room
        for position in wrong[:room]:
            value = self.values[position]
            faults.tell(words(value, self.places(value)), int(cells[position]))
        if len(wrong) > room:
            faults.tell("", int(cells[list(wrong[room:])].sum()))

    def _no_number(self, value: str, places: str) -> str:
        number = _number(value)
        large = number is not None and np.isfinite(number)
        what = "is too large for a number of 32 bits" if large else "is no finite number"
        hint = "; write numbers with a point and without other marks" if _is_almost(value) else ""
        return f"column '{shortened(self.name)}' has '{shortened(value)}' in {places}, which {what}{hint}"

    def is_numeric(self, missing: Sequence[str] = ()) -> bool:
        """Whether every cell is written as a number (inf among them, which `numbers` refuses) or one of `missing`, and
        at least one is a number."""
        without = frozenset(missing)
        parsed = [_number(value) for value in self.values if value not in without]
        return bool(parsed) and all(number is not None for number in parsed)

    def strays(self, missing: Sequence[str] = ()) -> tuple[str, ...]:
        """What keeps a column of numbers from being one: its known cells that are no numbers, in the order in which
        they first occur; none where it is wholly of numbers, or of categories.

        A column is meant to be numbers when at least half of its known rows, or of the different cells in them, are
        numbers or written almost like some (`1,5`, `12%`).

        >>> Column.of("size", ["1", "2", "3", "x"]).strays(), Column.of("size", ["1", "x", "y", "x"]).strays()
        (('x',), ())
        """
        without = frozenset(missing)
        known = [value not in without for value in self.values]
        plain = [_number(value) is not None for value in self.values]
        alike = [k and (p or _is_almost(v)) for v, k, p in zip(self.values, known, plain, strict=True)]
        rows = np.bincount(self.codes, minlength=len(self.values))
        if 2 * rows[alike].sum() < rows[known].sum() and 2 * sum(alike) < sum(known):
            return ()
        return tuple(v for v, k, p in zip(self.values, known, plain, strict=True) if k and not p)

    def replaced(self, by: Mapping[str, str]) -> Column:
        """The column with other texts in place of some of its values; those that become equal are one.

        >>> Column.of("income", ["low", "high", "low."]).replaced({"low.": "low"}).values
        ('low', 'high')
        """
        known: dict[str, int] = {}
        table = [known.setdefault(by.get(value, value), len(known)) for value in self.values]
        return Column(self.name, tuple(known), np.array(table, dtype=np.int32)[self.codes], self.lines)

    def positions(self, categories: Sequence[str]) -> Tensor:
        """Where each row's value stands in `categories`, (n,), int64; −1 for a value that is not there."""
        known = {category: position for position, category in enumerate(categories)}
        table = np.array([known.get(value, -1) for value in self.values], dtype=np.int64)
        return torch.from_numpy(table[self.codes])

    def take(self, rows: npt.NDArray[np.int64]) -> Column:
        """The rows at these indices, in that order, with the values that occur in them."""
        codes = self.codes[rows]
        occurs = np.bincount(codes, minlength=len(self.values)) > 0
        moved = np.cumsum(occurs, dtype=np.int32) - 1
        lines = None if self.lines is None else self.lines[rows]
        return Column(self.name, tuple(itertools.compress(self.values, occurs.tolist())), moved[codes], lines)


@frozen(eq=False)
class Lines:
    """Where the samples of a table come from, as `TensorData` takes it: sample i from line `numbers[i]` of a file.

    >>> Lines(Path("houses.csv"), np.array([2, 3]))[1]
    'houses.csv, line 3'
    """

    file: Path
    numbers: npt.NDArray[np.int32]

    def __getitem__(self, index: int) -> str:
        return f"{self.file}, line {int(self.numbers[index])}"


def in_order(values: Iterable[str]) -> tuple[str, ...]:
    """Values as categories: in the order of numbers where all are finite numbers, else in that of text.

    >>> in_order(["10", "9"]), in_order(["10", "9", "b"])
    (('9', '10'), ('10', '9', 'b'))
    """
    found = sorted(values)
    numbers = [_number(value) for value in found]
    return tuple(sorted(found, key=float) if all(n is not None and np.isfinite(n) for n in numbers) else found)


def is_number(text: str) -> bool:
    """Whether a cell is written as a number.

    >>> is_number("-1.5e3"), is_number("1,5")
    (True, False)
    """
    return _number(text) is not None


def _is_almost(text: str) -> bool:
    return len(text) <= _DIGITS and _ALMOST.fullmatch(text) is not None and _number(text) is None


def _number(text: str) -> float | None:
    """What a number is in a table; Python would also take `1_0` and digits of other scripts, and seconds for many."""
    return float(text) if len(text) <= _DIGITS and _NUMBER.fullmatch(text) else None


def one_hot(positions: Tensor, sizes: Sequence[int]) -> Tensor:
    """Columns of positions as one-hot blocks side by side.

    Args:
        positions: (n, c), integers; a −1 (a value that is not among the categories) gives a block of zeros.
        sizes: categories k of each of the c columns.

    Returns:
        (n, Σ k), float32.

    >>> one_hot(torch.tensor([[1, 0], [-1, 1]]), [2, 2])
    tensor([[0., 1., 1., 0.],
            [0., 0., 0., 1.]])
    """
    starts = torch.tensor([0, *itertools.accumulate(sizes)], dtype=torch.int64)
    made = torch.zeros(len(positions), int(starts[-1]))
    for column, start in zip(positions.long().unbind(dim=1), starts[:-1].tolist(), strict=True):
        known = torch.where(column >= 0)[0]
        made[known, start + column[known]] = 1.0
    return made


@frozen(eq=False)
class Standardization:
    """Zero mean and unit variance by the statistics of the training rows.

    >>> numbers = np.array([[1.0, 5.0], [3.0, 5.0]])
    >>> Standardization.of(numbers)(numbers)
    tensor([[-1.,  0.],
            [ 1.,  0.]])
    """

    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]

    @classmethod
    def of(cls, numbers: npt.NDArray[np.float64]) -> Standardization:
        """From the training rows (n, c), nan where unknown. A column that does not vary is only shifted."""
        known = ~np.isnan(numbers)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, numbers, 0.0).sum(axis=0) / count
        scale = np.sqrt(np.square(np.where(known, numbers - mean, 0.0)).sum(axis=0) / count)
        return cls(mean, np.where(scale > 1e-12 * np.maximum(np.abs(mean), 1.0), scale, 1.0))

    def __call__(self, numbers: npt.NDArray[np.float64]) -> Tensor:
        """Standardized numbers (n, c), float32; nan, which is unknown, becomes 0: the mean. A number that is farther
        from the training rows than float32 reaches becomes infinite: see `check_reach`."""
        with np.errstate(over="ignore"):
            standard = ((numbers - self.mean) / self.scale).astype(np.float32)
        return torch.from_numpy(np.where(np.isnan(standard), np.float32(0), standard))


def check_reach(standard: Tensor, columns: Sequence[Column]) -> None:
    """Refuse numbers that are infinite when they are standardized.

    Args:
        standard: standardized numbers (n, c).
        columns: where they come from, c of n rows.

    Raises:
        DataError: naming column and place of each.
    """
    faults = CellFaults()
    for row, i in torch.isinf(standard).nonzero().tolist():
        faults.tell(
            f"column '{shortened(columns[i].name)}' has in {columns[i].place(row)} a number out of all proportion to "
            "those of the training rows"
        )
    faults.check(advice="correct it, or scale the column")
