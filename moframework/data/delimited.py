"""Delimited text files (CSV) as columns: what is read for a row, and what is said of a file that is none."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from attrs import frozen

from moframework.data.table import Column, is_number
from moframework.errors import DataError, shortened
from moframework.io.unpacking import open_gzip

__all__ = ["first_row", "guessed_delimiter", "read_columns", "read_parts"]

_ROWS, _CELLS, _TEXT = 10_000, 1_000_000, 2**24  # read at once: enough for speed, little memory
_ROW = 2**27  # a row of so many characters, over however many lines, is none
# A row of so many columns is no table that one learns from, and a line of so many characters no row.
_COLUMNS, _CHARACTERS = 100_000, 2**24
# Rows that are looked at after a wrong one, numbers of cells that wrong rows have, and lines that are told of each.
_FURTHER, _KINDS, _LINES = 100_000, 10, 10
# A row that comes after the last line: a quote that is still open there takes it into its cell.
_END = "\ue000" * 3
_LAST = [_END, _END]
_DELIMITERS = (",", "\t", ";")  # the first wins where there are as many of another


def guessed_delimiter(
    path: Path, names: Sequence[str] | None = None, *, comment: str | None = None, skip: int = 0
) -> str:
    """What separates the cells of a file: a comma, unless the first row has a tab or a semicolon and no comma; where
    `names` are given, whichever of the three makes as many cells. Arguments are those of `read_columns`, which tells of
    files that cannot be read."""
    try:
        with _opened(path) as file:
            lines = _Lines(file, ",", comment, skip)
            line = next(lines)
            while not line.strip():
                lines.fresh = True
                line = next(lines)
    except (UnicodeDecodeError, csv.Error, EOFError, zlib.error, OSError):
        return ","  # reading the table says what is wrong
    bare = re.sub(r'"[^"]*"', "", line)
    if names is not None:
        # Commas come last here: where semicolons separate, they may be those of decimals.
        fits = [mark for mark in reversed(_DELIMITERS) if bare.count(mark) + 1 == len(names)]
        return fits[0] if fits else ","
    return "," if "," in bare else max(_DELIMITERS, key=bare.count)


def read_columns(
    path: Path,
    names: Sequence[str] | None = None,
    *,
    delimiter: str = ",",
    comment: str | None = None,
    skip: int = 0,
) -> dict[str, Column]:
    """The columns of a delimited text file (CSV), plain or, when its name ends in .gz, compressed.

    Cells may be quoted with `"`; blanks around a cell are not part of it; empty lines are skipped. A line has at most
    16 million characters, a row 100,000 cells, a cell 131,072 characters.

    Args:
        path: the file, UTF-8 with or without a byte order mark.
        names: names of the columns of a file without a header; None takes the first row for them.
        delimiter: what separates cells, one character.
        comment: lines that begin with this are no rows; None: all are.
        skip: lines at the beginning of the file that are left out, whatever they hold.

    Returns:
        the columns by name, in the order of the file, each with the lines of its rows.

    Raises:
        DataError: the file is missing, cannot be decoded, unpacks to far more than tables do, has no rows, names a
            column twice, has a row where names should be or names where a row should be, has a quote that is not
            closed, or a line has too many or too few cells; the text names the line.
    """
    form = _Form(delimiter, comment, skip)
    with _told(path, form, names), _opened(path) as file:
        columns = _columns(path, form, file, names)
    if names is not None:
        _check_first(path, columns)
    return columns


def read_parts(
    path: Path,
    names: Sequence[str] | None = None,
    *,
    delimiter: str = ",",
    comment: str | None = None,
    skip: int = 0,
) -> Iterator[dict[str, Column]]:
    """The columns of a delimited text file, as `read_columns` reads it, some thousand rows at a time: a file of any
    length takes little memory. Arguments and errors are those of `read_columns`, but that a fault is only raised where
    it is reached, and that names in the first row beside `names` are not told."""
    form = _Form(delimiter, comment, skip)
    with _told(path, form, names), _opened(path) as file:
        lines, reader = form.reader(file)
        known = _header(path, reader, lines) if names is None else names
        rows = 0
        for chunk, numbers in _chunks(reader, lines, len(known)):
            rows += len(chunk)
            places = np.array(numbers, dtype=np.int32)
            columns = {
                name: Column.of(name, [cell.strip() for cell in cells])
                for name, cells in zip(known, zip(*chunk, strict=True), strict=True)
            }
            yield {name: Column(name, column.values, column.codes, places) for name, column in columns.items()}
        if not rows:
            raise DataError(f"the table {path} has no rows")


def first_row(path: Path, *, delimiter: str = ",", comment: str | None = None, skip: int = 0) -> list[str]:
    """The cells of the first row that is not empty, without blanks around them; none where there is no row. Arguments
    and errors are those of `read_columns`."""
    form = _Form(delimiter, comment, skip)
    with _told(path, form, ()), _opened(path) as file:
        lines, reader = form.reader(file)
        row: list[str] = []
        while not row:
            lines.fresh = True
            row = [cell.strip() for cell in next(reader)]
    return [] if row == _LAST else row


@contextlib.contextmanager
def _told(path: Path, form: _Form, names: Sequence[str] | None) -> Iterator[None]:
    """Raise `DataError` for what reading a table inside may raise."""
    try:
        yield
    except (UnicodeDecodeError, csv.Error, _WidthError):
        raise DataError("\n".join(f"{path}, {fault}" for fault in _faults(path, form, names))) from None
    except (EOFError, zlib.error) as error:
        raise DataError(f"the table {path} cannot be unpacked: {error}") from error
    except OSError as error:
        raise DataError(f"the table {path} cannot be read: {error.strerror or error}") from error


def _columns(path: Path, form: _Form, file: IO[str], names: Sequence[str] | None) -> dict[str, Column]:
    """The columns of an open table."""
    lines, reader = form.reader(file)
    names = _header(path, reader, lines) if names is None else names
    known: list[dict[str, int]] = [{} for _ in names]
    parts: list[list[npt.NDArray[np.int32]]] = [[] for _ in names]
    begins: list[npt.NDArray[np.int32]] = []
    for chunk, numbers in _chunks(reader, lines, len(names)):
        begins.append(np.array(numbers, dtype=np.int32))
        for cells, values, made in zip(zip(*chunk, strict=True), known, parts, strict=True):
            made.append(np.array([values.setdefault(cell, len(values)) for cell in cells], dtype=np.int32))
    if not begins:
        raise DataError(f"the table {path} has no rows")
    places = np.concatenate(begins)
    return {
        name: Column(name, tuple(values), np.concatenate(made), places).replaced({v: v.strip() for v in values})
        for name, values, made in zip(names, known, parts, strict=True)
    }


@frozen
class _Form:
    """How a table is written."""

    delimiter: str
    comment: str | None
    skip: int

    def reader(self, file: IO[str]) -> tuple[_Lines, Iterator[list[str]]]:
        """The lines of a file, and the rows that they make."""
        lines = _Lines(file, self.delimiter, self.comment, self.skip)
        return lines, csv.reader(lines, delimiter=self.delimiter, skipinitialspace=True)


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return io.TextIOWrapper(open_gzip(path), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


class _Lines:
    """The lines of a file that are no comments, with their ends, then that of `_LAST`.

    Attributes:
        read: characters read since somebody set it to 0, where a row began.
        fresh: whether a row begins with the next line; only there is a line a comment. Somebody sets it.
        began: the line in which the last row began, counted from 1.

    Raises:
        csv.Error: a line is too long, or a row.
    """

    def __init__(self, file: IO[str], delimiter: str, comment: str | None, skip: int) -> None:
        self.read, self._readline = 0, file.readline
        self.fresh, self.began, self._number, self._comment = True, 1, 0, comment
        self._last = iter([delimiter.join(_LAST)])
        for _ in range(skip):
            self._line()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._line()
        while self.fresh and self._comment and line.lstrip().startswith(self._comment):
            line = self._line()
        if self.fresh:
            self.fresh, self.began = False, self._number
        return line or next(self._last)

    @property
    def following(self) -> int:
        """The line after the last one read."""
        return self._number + 1

    def _line(self) -> str:
        line = self._readline(_CHARACTERS)
        self._number += 1
        self.read += len(line)
        if len(line) == _CHARACTERS:
            raise csv.Error(f"the line has {_CHARACTERS:,} characters or more")
        if self.read > _TEXT + _ROW:  # where several rows are read at once, they are `_TEXT` at most but for the last
            raise csv.Error(f"a row has more than {_ROW:,} characters")
        return line


def _header(path: Path, reader: Iterator[list[str]], lines: _Lines) -> list[str]:
    """The names in the first row that is not empty. Raises `DataError` when it cannot be names."""
    names: list[str] = []
    while not names:
        lines.fresh = True
        names = [name.strip() for name in next(reader)]
    where = f"{path}, line {lines.began}"
    if names == _LAST:
        raise DataError(f"the table {path} is empty; it needs a line with the names of its columns")
    if _END in names[-1]:
        raise DataError(f"{where}: a quote is not closed")
    if len(names) > _COLUMNS:
        raise DataError(f"{where}: {len(names):,} columns, and {_COLUMNS:,} are the most")
    twins = [name for name, count in Counter(names).items() if count > 1]
    if twins and any(is_number(name) for name in names):
        raise DataError(
            f"{where}: no names of columns, but what looks like a row: '{shortened(twins[0])}' comes twice, and "
            f"'{shortened(next(name for name in names if is_number(name)))}' is a number; name the "
            f"{len(names)} columns of a file without a header with the option `names`"
        )
    if twins:
        places = " and ".join(str(1 + i) for i, name in enumerate(names) if name == twins[0])
        called = f"called '{shortened(twins[0])}'" if twins[0] else "without a name"
        raise DataError(
            f"{where}: the table has two columns {called} ({places}): rename one in the file, or name all {len(names)} "
            f"with the option `names` and leave this line out with `skip: {lines.began}`"
        )
    return names


def _check_first(path: Path, columns: Mapping[str, Column]) -> None:
    """Raise `DataError` where names are given and the file begins with them as well."""
    first = {name: column.values[column.codes[0]] for name, column in columns.items()}
    if 2 * sum(value.casefold() == name.casefold() for name, value in first.items()) > len(first):
        place = next(iter(columns.values())).place(0)
        raise DataError(
            f"{path}, {place}: the names of the columns, which `names` gives too: leave `names` out, or this line with "
            f"`skip: {place.partition(' ')[2]}`"
        )


class _WidthError(Exception):
    """A row has too many or too few cells, or is not finished."""


def _chunks(reader: Iterator[list[str]], lines: _Lines, width: int) -> Iterator[tuple[list[list[str]], list[int]]]:
    """Rows, many at a time, each of the right width, and the lines in which they begin. Raises `_WidthError`."""
    most = min(_ROWS, 1 + _CELLS // max(width, 1))
    while chunk := _taken(reader, lines, most):
        last = chunk[-1][0] == _LAST
        rows = [(row, line) for row, line in chunk[: len(chunk) - last] if row]
        if any(len(row) != width for row, _ in rows) or (rows and not last and _END in rows[-1][0][-1]):
            raise _WidthError
        if rows:
            yield [row for row, _ in rows], [line for _, line in rows]


def _taken(reader: Iterator[list[str]], lines: _Lines, most: int) -> list[tuple[list[str], int]]:
    """Up to `most` rows, fewer where they are long, each with the line in which it begins."""
    lines.read, lines.fresh = 0, True
    rows = []
    for row in itertools.islice(reader, most):
        rows.append((row, lines.began))
        lines.fresh = True
        if lines.read > _TEXT:
            break
    return rows


def _faults(path: Path, form: _Form, names: Sequence[str] | None) -> list[str]:
    """The lines that are no rows with a cell for each name (None: those of the first line), and what is wrong with
    them; those with as many cells are told together. The table is read once more for it, not much beyond the first."""
    line, widths, told = 1, _Widths(form, None if names is None else len(names)), list[str]()
    try:
        with _opened(path) as file:
            lines, reader = form.reader(file)
            line = lines.following
            for row in reader:
                line = lines.began
                lines.fresh, lines.read = True, _TEXT
                if row and row != _LAST and _END in row[-1]:
                    told = [f"line {line}: a quote is not closed"]
                    break
                if widths.is_enough(row, line):
                    break
                line = lines.following
    except csv.Error as error:
        told = [f"line {line}: this is no row of delimited text: {error}"]
    except UnicodeDecodeError as error:
        told = [f"line {_undecodable(path) or line}: not a table in delimited text (UTF-8): {error.reason}"]
    except (OSError, EOFError, zlib.error) as error:  # found where the file is packed, behind the fault itself
        told = [f"near line {line}: it cannot be unpacked: {error}"]
    return [*widths.told(), *told] or ["it was changed while it was read"]


class _Widths:
    """Collects the lines of rows with too many or too few cells.

    Args:
        width: how many there should be; None: as many as the first row has.
    """

    def __init__(self, form: _Form, width: int | None) -> None:
        self._form, self._width, self._by = form, width, "`names`"
        self._wrong: dict[int, list[int]] = {}
        self._hints: dict[int, str] = {}
        self._after = 0

    def is_enough(self, row: Sequence[str], line: int) -> bool:
        """Look at a row, and say whether enough were looked at since the first wrong one."""
        if self._width is None and row:
            self._width, self._by = len(row), f"line {line}"
        self._after += bool(self._wrong)
        if row and row != _LAST and len(row) != self._width:
            if len(row) not in self._wrong:
                self._hints[len(row)] = _width_hint(row, self._width, self._form)
            self._wrong.setdefault(len(row), []).append(line)
        return self._after > _FURTHER or len(self._wrong) > _KINDS

    def told(self) -> list[str]:
        """What is wrong with the lines."""
        found = []
        for cells, lines in self._wrong.items():
            more = f" and {len(lines) - _LINES:,} more" if len(lines) > _LINES else ""
            what = f"line {lines[0]}" if len(lines) == 1 else f"lines {', '.join(map(str, lines[:_LINES]))}{more}"
            found.append(
                f"{what}: {cells} cells where there should be {self._width}, as in {self._by}{self._hints[cells]}"
            )
        return found


def _width_hint(row: Sequence[str], width: int | None, form: _Form) -> str:
    """What may help where a row has another number of cells than there should be."""
    if width == 1 and form.comment is None and not form.skip:
        return "; lines before the names of the columns are left out with `skip`, comments with `comment`"
    mark = row[0].lstrip()[:1]
    if len(row) < (width or 0) and mark in "#%|!" and mark:
        return f"; if it is a comment, leave such lines out with `comment: '{mark}'`"
    return ""


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
