"""Tables in memory, and parquet files, as columns of text: what their cells would be in a delimited text file."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from moframework.data.table import Column
from moframework.errors import DataError, shortened

__all__ = ["columns_in_memory", "parquet", "parquet_parts"]

_ROWS = 10_000  # of a parquet file, read at once


def columns_in_memory(raw: Any, empty: str = "") -> dict[str, Column]:
    """The columns of a data frame, a mapping from names to cells (of one row a cell each), or a list of mappings.

    Args:
        raw: the table, with at least one row; cells are text, numbers or booleans, None or nan where unknown.
        empty: the text of an unknown cell.

    Raises:
        DataError: it is none of these, or rows or columns do not go together.

    >>> columns = columns_in_memory([{"rooms": 3, "city": "Bern"}, {"rooms": 2.5, "city": None}])
    >>> columns["rooms"].values, columns["city"].values
    (('3', '2.5'), ('Bern', ''))
    """
    cells = _cells(raw)
    lengths = {len(column) for column in cells.values()}
    if len(lengths) != 1:
        found = ", ".join(f"{shortened(name)} {len(column)}" for name, column in list(cells.items())[:5])
        raise DataError(f"all columns need as many cells, but there are: {found or 'no columns'}")
    if lengths == {0}:
        raise DataError("the table has no rows")
    return {name: Column.of(name, [_text(cell, empty) for cell in column]) for name, column in cells.items()}


def parquet_parts(path: Path, empty: str = "") -> Iterator[dict[str, Column]]:
    """The columns of a parquet file, some thousand rows at a time; `empty` as of `columns_in_memory`.

    Raises:
        DataError: it cannot be read, or pyarrow is not installed.
    """
    files, begins = parquet(f"to read {path}"), 0
    try:
        for batch in files.ParquetFile(path).iter_batches(batch_size=_ROWS):
            lines = np.arange(begins + 1, begins + 1 + len(batch), dtype=np.int32)
            made = {name: [_text(cell, empty) for cell in cells] for name, cells in batch.to_pydict().items()}
            columns = {name: Column.of(name, cells) for name, cells in made.items()}
            yield {name: Column(name, column.values, column.codes, lines) for name, column in columns.items()}
            begins += len(batch)
    except (OSError, ValueError) as error:  # pyarrow's own errors derive from these
        raise DataError(f"the table {path} cannot be read: {error}") from error
    if not begins:
        raise DataError(f"the table {path} has no rows")


def parquet(purpose: str) -> Any:
    """The module that reads and writes parquet files. Raises `DataError`, with what to install, where there is none."""
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise DataError(f"{purpose} install pyarrow: pip install 'moframework[parquet]'") from None


def _cells(raw: Any) -> dict[str, Sequence[Any]]:
    if isinstance(raw, Mapping):
        single = all(isinstance(cell, str | bytes) or not hasattr(cell, "__len__") for cell in raw.values())
        return {str(name): [cells] if single else list(cells) for name, cells in raw.items()}
    if hasattr(raw, "columns") and hasattr(raw, "to_dict"):  # a data frame, whichever package's
        return {str(name): raw[name].tolist() for name in raw.columns}
    if not isinstance(raw, Sequence) or isinstance(raw, str | bytes) or not all(isinstance(r, Mapping) for r in raw):
        raise DataError(
            f"rows are given as a file, a data frame, a mapping from names to cells, or a list of mappings, but not as "
            f"a {type(raw).__name__}; prepared inputs as a tensor or numpy array"
        )
    names = list(dict.fromkeys(str(name) for row in raw for name in row))
    for number, row in enumerate(raw, start=1):
        lacking = [name for name in names if name not in row]
        if lacking:
            raise DataError(
                f"row {number} has no '{shortened(lacking[0])}', which others have: give None where it is unknown"
            )
    return {name: [row[name] for row in raw] for name in names}


def _text(cell: Any, empty: str) -> str:
    """A cell as text. A number has all of its digits."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return empty
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, float | np.floating):
        return empty if cell != cell else repr(float(cell))
    return str(cell)
