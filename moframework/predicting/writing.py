"""Predictions as files: delimited text, JSON lines, parquet, or the raw outputs as arrays."""

from __future__ import annotations

import contextlib
import csv
import importlib
import itertools
import json
import math
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from moframework.errors import DataError, RequestError
from moframework.io.atomic import atomic_write
from moframework.predicting.columns import parquet

__all__ = ["FORMATS", "write_lines", "write_predictions"]


class Answers(Protocol):
    """What is written: `Predictions`."""

    @property
    def columns(self) -> Mapping[str, Any]:
        """Cells of each sample, by name: arrays of answers, and lists of what was kept."""

    @property
    def outputs(self) -> Mapping[str, Any]:
        """Raw outputs by output key."""

    def check_cells(self) -> None:
        """Raise `DataError` where an answer is a map rather than a cell."""


def write_predictions(parts: Iterable[Answers], path: Path) -> None:
    """Write predictions to a file, whole or not at all, part by part.

    Numbers have all of their digits. What the file is, its ending says:

    - `.csv`: a line with names, then one for each sample;
    - `.jsonl`: an object for each sample, a line each; numbers that are not finite are null;
    - `.parquet`: a table, which needs pyarrow;
    - `.npz`: the raw outputs by output key, and what was kept.

    Args:
        parts: at least one.

    Raises:
        RequestError: the ending is none of these.
        DataError: the file cannot be written, or answers make no table.
    """
    write = _WRITERS.get(path.suffix)
    if write is None:
        raise RequestError(f"{path}: predictions are written as {', '.join(_WRITERS)}, and the ending says which")
    try:
        with atomic_write(path) as partial:
            write(parts, partial)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error


def write_lines(parts: Iterable[Answers], file: IO[str], form: str) -> None:
    """Write predictions to an open text file, part by part.

    Args:
        form: one of `FORMATS`.

    Raises:
        DataError: as `write_predictions`.
    """
    FORMATS[form](parts, file)


def _csv(parts: Iterable[Answers], file: IO[str]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    for number, part in enumerate(parts):
        rows = _rows(part)
        if number == 0:
            writer.writerow(part.columns)
        writer.writerows(rows)


def _json_lines(parts: Iterable[Answers], file: IO[str]) -> None:
    for part in parts:
        for row in _rows(part):
            cells = dict(zip(part.columns, map(_plain, row), strict=True))
            file.write(json.dumps(cells, ensure_ascii=False) + "\n")


FORMATS: dict[str, Callable[[Iterable[Answers], IO[str]], None]] = {"csv": _csv, "jsonl": _json_lines}
"""What text predictions are written as."""


def _rows(part: Answers) -> Iterator[tuple[Any, ...]]:
    """The cells of each sample; float32 as the shortest numbers that are it."""
    part.check_cells()
    cells = [
        [float(str(value)) for value in column] if _is_float32(column) else list(column)
        for column in part.columns.values()
    ]
    return zip(*cells, strict=True)


def _is_float32(column: Any) -> bool:
    return isinstance(column, np.ndarray) and column.dtype == np.float32


def _plain(cell: Any) -> Any:
    value = cell.item() if isinstance(cell, np.generic) else cell
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text_file(form: str) -> Callable[[Iterable[Answers], Path], None]:
    def write(parts: Iterable[Answers], path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            write_lines(parts, file, form)

    return write


def _npz_file(parts: Iterable[Answers], path: Path) -> None:
    every = list(parts)
    kept = {name: [part.columns[name] for part in every] for name, c in every[0].columns.items() if isinstance(c, list)}
    outputs = {key: [part.outputs[key] for part in every] for key in every[0].outputs}
    with zipfile.ZipFile(path, "w") as archive:  # numpy.savez has no way to call an array `file`
        for name, arrays in {**kept, **outputs}.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.concatenate(arrays), allow_pickle=False)


def _parquet_file(parts: Iterable[Answers], path: Path) -> None:
    files, rest = parquet(f"to write {path.suffix} files"), iter(parts)
    first = next(rest)
    table = _arrow(first)
    with contextlib.closing(files.ParquetWriter(path, table.schema)) as writer:
        for part in itertools.chain([first], rest):
            writer.write_table(table if part is first else _arrow(part))


def _arrow(part: Answers) -> Any:
    pyarrow: Any = importlib.import_module("pyarrow")

    part.check_cells()
    return pyarrow.table({name: list(column) if _is_text(column) else column for name, column in part.columns.items()})


def _is_text(column: Any) -> bool:
    return not isinstance(column, np.ndarray) or column.dtype == object


_WRITERS: dict[str, Callable[[Iterable[Answers], Path], None]] = {
    ".csv": _text_file("csv"),
    ".jsonl": _text_file("jsonl"),
    ".parquet": _parquet_file,
    ".npz": _npz_file,
}
