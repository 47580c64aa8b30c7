"""Columns of delimited text files, and how they become tensors: one-hot categories, standardized numbers."""

from __future__ import annotations

import csv
import io
import itertools
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import torch
from attrs import frozen
from torch import Tensor

from moframework.errors import DataError, shortened
from moframework.io.unpacking import open_gzip

__all__ = ["Column", "Standardization", "check_reach", "in_order", "one_hot", "read_columns"]

_ROWS, _CELLS, _TEXT = 10_000, 1_000_000, 2**24  # read at once: enough for speed, little memory
_ROW = 2**27  # a row of so many characters, over however many lines, is none
# A row of so many columns is no table that one learns from, and a line of so many characters no row.
_COLUMNS, _CHARACTERS = 100_000, 2**24
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]+)?|[-+]?(?:inf|infinity|nan)", re.IGNORECASE)
_DIGITS = 400  # the largest float has 309
_LARGEST = float(np.finfo(np.float32).max)
# A row that comes after the last line: a quote that is still open there takes it into its cell.
_END = "\ue000" * 3
_LAST = [_END, _END]


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

    @classmethod
    def of(cls, name: str, cells: Sequence[str]) -> Column:
        """A column from the text of its cells."""
        known: dict[str, int] = {}
        codes = np.array([known.setdefault(cell, len(known)) for cell in cells], dtype=np.int32)
        return cls(name, tuple(known), codes)

    def __len__(self) -> int:
        return len(self.codes)

    def mapped(self, table: Mapping[str, float] | Sequence[float]) -> npt.NDArray[np.float64]:
        """A number for each row, (n,): by value, or by the position of the value in `values`."""
        numbers = [table[value] for value in self.values] if isinstance(table, Mapping) else table
        found: npt.NDArray[np.float64] = np.asarray(numbers, dtype=np.float64)[self.codes]
        return found

    def numbers(
        self, missing: Sequence[str] = (), rows: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float64]:
        """The cells as numbers, (n,); nan for those that are one of `missing`.

        Args:
            missing: cells that mean unknown.
            rows: the row of the table that each cell comes from, counted from 0; None: all of them, in order.

        Raises:
            DataError: a cell is no finite number, or beyond those of 32 bits; the text names it and its row, counted
                from 1.
        """
        without = frozenset(missing)
        parsed = [float("nan") if value in without else _number(value) for value in self.values]
        for code, (value, number) in enumerate(zip(self.values, parsed, strict=True)):
            if value in without or (number is not None and abs(number) <= _LARGEST):
                continue
            at = int(np.argmax(self.codes == code))
            row = 1 + (at if rows is None else int(rows[at]))
            found = number is None or not np.isfinite(number)
            what = "is no finite number" if found else "is too large for a number of 32 bits"
            raise DataError(f"column '{shortened(self.name)}' has '{shortened(value)}' in row {row}, which {what}")
        return self.mapped([float("nan") if number is None else number for number in parsed])

    def is_numeric(self, missing: Sequence[str] = ()) -> bool:
        """Whether every cell is written as a number (inf among them, which `numbers` refuses) or one of `missing`, and
        at least one is a number."""
        without = frozenset(missing)
        parsed = [_number(value) for value in self.values if value not in without]
        return bool(parsed) and all(number is not None for number in parsed)

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
        return Column(self.name, tuple(itertools.compress(self.values, occurs.tolist())), moved[codes])


def in_order(values: Iterable[str]) -> tuple[str, ...]:
    """Values as categories: in the order of numbers where all are finite numbers, else in that of text.

    >>> in_order(["10", "9"]), in_order(["10", "9", "b"])
    (('9', '10'), ('10', '9', 'b'))
    """
    found = sorted(values)
    numbers = [_number(value) for value in found]
    return tuple(sorted(found, key=float) if all(n is not None and np.isfinite(n) for n in numbers) else found)


def _number(text: str) -> float | None:
    """What a number is in a table; Python would also take `1_0` and digits of other scripts, and seconds for many."""
    return float(text) if len(text) <= _DIGITS and _NUMBER.fullmatch(text) else None


def read_columns(path: Path, names: Sequence[str] | None = None, *, delimiter: str = ",") -> dict[str, Column]:
    """The columns of a delimited text file (CSV), plain or, when its name ends in .gz, compressed.

    Cells may be quoted with `"`; blanks around a cell are not part of it; empty lines are skipped. A line has at most
    16 million characters, a row 100,000 cells, a cell 131,072 characters.

    Args:
        path: the file, UTF-8 with or without a byte order mark.
        names: names of the columns of a file without a header; None takes the first line for them.
        delimiter: what separates cells, one character.

    Returns:
        the columns by name, in the order of the file.

    Raises:
        DataError: the file is missing, cannot be decoded, unpacks to far more than tables do, has no rows, names a
            column twice, has a quote that is not closed, or a line has too many or too few cells; the text names the
            line.
    """
    given = names is not None
    try:
        with _opened(path) as file:
            lines = _Lines(file, delimiter)
            reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
            if names is None:
                names = [name.strip() for name in next(reader)]
                _check_names(path, names)
            known: list[dict[str, int]] = [{} for _ in names]
            parts: list[list[npt.NDArray[np.int32]]] = [[] for _ in names]
            for chunk in _chunks(reader, lines, len(names)):
                for cells, values, made in zip(zip(*chunk, strict=True), known, parts, strict=True):
                    made.append(np.array([values.setdefault(cell, len(values)) for cell in cells], dtype=np.int32))
    except (UnicodeDecodeError, csv.Error, _WidthError):
        raise DataError(f"{path}, {_first_fault(path, delimiter, names if given else None)}") from None
    except (EOFError, zlib.error) as error:
        raise DataError(f"the table {path} cannot be unpacked: {error}") from error
    except OSError as error:
        raise DataError(f"the table {path} cannot be read: {error.strerror or error}") from error
    if not parts or not parts[0]:
        raise DataError(f"the table {path} has no rows")
    return {
        name: _stripped(name, tuple(values), np.concatenate(made))
        for name, values, made in zip(names, known, parts, strict=True)
    }


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return io.TextIOWrapper(open_gzip(path), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


class _Lines:
    """The lines of a file, with their ends, then that of `_LAST`.

    Attributes:
        read: characters read since somebody set it to 0, where a row began.

    Raises:
        csv.Error: a line is too long, or a row.
    """

    def __init__(self, file: IO[str], delimiter: str) -> None:
        self.read, self._readline = 0, file.readline
        self._last = iter([delimiter.join(_LAST)])

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._readline(_CHARACTERS)
        if not line:
            return next(self._last)
        self.read += len(line)
        if len(line) == _CHARACTERS:
            raise csv.Error(f"the line has {_CHARACTERS:,} characters or more")
        if self.read > _TEXT + _ROW:  # where several rows are read at once, they are `_TEXT` at most but for the last
            raise csv.Error(f"a row has more than {_ROW:,} characters")
        return line


def _check_names(path: Path, names: Sequence[str]) -> None:
    if names == _LAST:
        raise DataError(f"the table {path} is empty; it needs a line with the names of its columns")
    if names and _END in names[-1]:
        raise DataError(f"{path}, line 1: a quote is not closed")
    if len(names) > _COLUMNS:
        raise DataError(f"{path}, line 1: {len(names):,} columns, and {_COLUMNS:,} are the most")
    for name, count in Counter(names).items():
        if count > 1:
            raise DataError(f"the table {path} has two columns called '{shortened(name)}'")


class _WidthError(Exception):
    """A row has too many or too few cells, or is not finished."""


def _chunks(reader: Iterator[list[str]], lines: _Lines, width: int) -> Iterator[list[list[str]]]:
    """Rows, many at a time, each of the right width. Raises `_WidthError`."""
    most = min(_ROWS, 1 + _CELLS // max(width, 1))
    while chunk := _taken(reader, lines, most):
        last = chunk[-1] == _LAST
        rows = [row for row in chunk[: len(chunk) - last] if row]
        if any(len(row) != width for row in rows) or (rows and not last and _END in rows[-1][-1]):
            raise _WidthError
        if rows:
            yield rows


def _taken(reader: Iterator[list[str]], lines: _Lines, most: int) -> list[list[str]]:
    """Up to `most` rows, fewer where they are long."""
    lines.read = 0
    rows = []
    for row in itertools.islice(reader, most):
        rows.append(row)
        if lines.read > _TEXT:
            break
    return rows


def _first_fault(path: Path, delimiter: str, names: Sequence[str] | None) -> str:
    """The first line that is no row with a cell for each name (None: those of the first line), and what is wrong with
    it. The table is read once more for it."""
    line, width = 1, None if names is None else len(names)
    try:
        with _opened(path) as file:
            lines = _Lines(file, delimiter)
            reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
            for row in reader:
                lines.read = _TEXT
                width = len(row) if width is None else width
                if row and row != _LAST and _END in row[-1]:
                    return f"line {line}: a quote is not closed"
                if row and row != _LAST and len(row) != width:
                    return f"line {line}: {len(row)} cells where there should be {width}"
                line = reader.line_num + 1
    except csv.Error as error:
        return f"line {line}: this is no row of delimited text: {error}"
    except UnicodeDecodeError as error:
        return f"line {_undecodable(path) or line}: not a table in delimited text (UTF-8): {error.reason}"
    except (OSError, EOFError, zlib.error) as error:  # found where the file is packed, behind the fault itself
        return f"near line {line}: it cannot be unpacked: {error}"
    return "it was changed while it was read"


def _undecodable(path: Path) -> int | None:
    """The first line that is not UTF-8; None where a packed file is damaged before it."""
    line = 1
    try:
        with open_gzip(path) if path.suffix == ".gz" else path.open("rb") as file:
            while content := file.readline(4 * _CHARACTERS):
                content.decode()
                line += 1
    except UnicodeDecodeError:
        return line
    except (OSError, EOFError, zlib.error):
        return None
    return line


def _stripped(name: str, values: tuple[str, ...], codes: npt.NDArray[np.int32]) -> Column:
    """The column with blanks at the ends of cells removed; values that become equal are one."""
    known: dict[str, int] = {}
    table = np.array([known.setdefault(value.strip(), len(known)) for value in values], dtype=np.int32)
    return Column(name, tuple(known), table[codes])


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


def check_reach(standard: Tensor, names: Sequence[str], rows: npt.NDArray[np.int64]) -> None:
    """Refuse numbers that are infinite when they are standardized.

    Args:
        standard: standardized numbers (n, c).
        names: of the columns.
        rows: the row of the table that each of the n comes from, counted from 0.

    Raises:
        DataError: naming column and row.
    """
    for at, column in torch.isinf(standard).nonzero().tolist():
        raise DataError(
            f"column '{shortened(names[column])}' has in row {1 + int(rows[at])} a number out of all proportion to "
            "those of the training rows: correct it, or scale the column"
        )
