"""`Predictions`: what a model says of samples, at one preference."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import field, frozen

from moframework.errors import DataError, MoframeworkError
from moframework.predicting.writing import write_predictions

__all__ = ["Predictions"]


@frozen(eq=False)
class Predictions:
    """What a model says of n samples, in the order in which they were given.

    Attributes:
        columns: by name; first those that were kept, then each task's answer and probabilities, n cells each: see
            `Answer`. Of maps, such as a class for each pixel, n arrays.
        outputs: raw outputs (n, ...) by output key, as the network gives them.
        notes: what is worth knowing, a sentence each.

    >>> one = Predictions({"sold": np.array(["yes"])}, {"sold": np.array([[0.5]])})
    >>> len(one), one["sold"], one.rows()
    (1, array(['yes'], dtype='<U3'), [{'sold': 'yes'}])
    """

    columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]]
    outputs: Mapping[str, npt.NDArray[Any]]
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(next(iter(self.outputs.values())))

    def __getitem__(self, name: str) -> Any:
        """One column."""
        return self.columns[name]

    @classmethod
    def of_parts(cls, parts: Iterable[Predictions], notes: tuple[str, ...] = ()) -> Predictions:
        """Several, one after the other; at least one."""
        every = list(parts)
        return cls(
            {name: _concatenated([part.columns[name] for part in every]) for name in every[0].columns},
            {key: np.concatenate([part.outputs[key] for part in every]) for key in every[0].outputs},
            notes,
        )

    def rows(self) -> list[dict[str, Any]]:
        """A mapping for each sample, of plain Python values.

        Raises:
            DataError: an answer is a map rather than a cell.
        """
        self.check_cells()
        cells = [column.tolist() if isinstance(column, np.ndarray) else column for column in self.columns.values()]
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*cells, strict=True)]

    def to_frame(self) -> Any:
        """A pandas data frame with a row for each sample.

        Raises:
            DataError: as `rows`.
            MoframeworkError: pandas is not installed.
        """
        self.check_cells()
        try:
            pandas = importlib.import_module("pandas")
        except ImportError as error:
            raise MoframeworkError("a data frame needs pandas, which is not installed: pip install pandas") from error
        return pandas.DataFrame(dict(self.columns))

    def save(self, path: Path | str) -> None:
        """Write a file: .csv, .jsonl, .parquet, or .npz with the raw outputs; see `writing.write_predictions`."""
        write_predictions([self], Path(path))

    def check_cells(self) -> None:
        """Raise `DataError` where an answer is a map rather than a cell."""
        maps = [name for name, column in self.columns.items() if isinstance(column, np.ndarray) and column.ndim > 1]
        if maps:
            raise DataError(f"'{maps[0]}' has many values for each sample, which make no table: write a .npz file")


def _concatenated(parts: list[Any]) -> Any:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return [cell for part in parts for cell in part]
