"""Evaluations of a function: all that is known of it, and the journal that keeps them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import frozen

from moframework.errors import DamagedFileError
from moframework.io.journal import append_line, read_journal
from moframework.pareto.indicators import nondominated

__all__ = ["Evaluation", "EvaluationLog", "Evaluations"]

Array = npt.NDArray[np.float64]


@frozen(kw_only=True)
class Evaluation:
    """One point at which the function was asked.

    Attributes:
        batch: the batch it was proposed in; 0 is the initial design.
        x: the point, n numbers in the units of the variables.
        values: the m objectives, finite; None where the evaluation failed.
        error: why it failed; None where it did not.
        seconds: that it took, by the clock.
    """

    batch: int
    x: tuple[float, ...]
    values: tuple[float, ...] | None
    error: str | None
    seconds: float


class Evaluations(Sequence[Evaluation]):
    """Evaluations in the order in which they were made.

    Args:
        made: the evaluations.
        m: the number of objectives.

    Attributes:
        x: (k, n), the points of those that succeeded.
        values: (k, m), what they gave.

    Example:
        >>> first = Evaluation(batch=0, x=(0.5,), values=(1.0, 2.0), error=None, seconds=0.1)
        >>> second = Evaluation(batch=0, x=(0.7,), values=None, error="ValueError: no mesh", seconds=0.1)
        >>> known = Evaluations([first, second], m=2)
        >>> len(known), known.failed, known.values.tolist()
        (2, 1, [[1.0, 2.0]])
    """

    def __init__(self, made: Sequence[Evaluation], m: int) -> None:
        self._made, self._m = tuple(made), m
        good = [one for one in self._made if one.values is not None]
        n = len(self._made[0].x) if self._made else 0
        self.x: Array = np.array([one.x for one in good], dtype=np.float64).reshape(len(good), n)
        self.values: Array = np.array([one.values for one in good], dtype=np.float64).reshape(len(good), m)

    def __len__(self) -> int:
        return len(self._made)

    def __getitem__(self, index: Any) -> Any:
        return Evaluations(self._made[index], self._m) if isinstance(index, slice) else self._made[index]

    @property
    def failed(self) -> int:
        """How many failed."""
        return len(self._made) - len(self.values)

    def front(self) -> npt.NDArray[np.int64]:
        """Rows of `x` and `values` that no other dominates, of equal ones the first, by increasing first objective."""
        if not len(self.values):
            return np.zeros(0, dtype=np.int64)
        rows = np.flatnonzero(nondominated(self.values))
        _, first = np.unique(self.values[rows], axis=0, return_index=True)
        found: npt.NDArray[np.int64] = rows[first]
        return found


class EvaluationLog:
    """The journal of a search: each batch as it is proposed, each evaluation as it ends, on disk before the next.

    A search that was killed goes on at the first point of its last batch that has no evaluation.

    Args:
        path: of the journal, which need not be there.
        m: the number of objectives.

    Attributes:
        proposing: seconds that each batch took to be proposed, by the clock and of the processor.

    Raises:
        DamagedFileError: a line of it has changed.
    """

    def __init__(self, path: Path, m: int) -> None:
        self.path, self._m = path, m
        self._made: list[Evaluation] = []
        self._asked: list[list[tuple[float, ...]]] = []
        self.proposing: list[tuple[float, float]] = []
        advice = "Bring it back from a copy, or remove this line and all after it: they are then evaluated anew."
        for number, line in enumerate(read_journal(path, advice=advice), 1):
            try:
                self._take(line)
            except (KeyError, TypeError, ValueError) as error:
                raise DamagedFileError(f"line {number} of {path} is none of a search ({error}). {advice}") from error

    @property
    def evaluations(self) -> Evaluations:
        """All so far."""
        return Evaluations(self._made, self._m)

    @property
    def batches(self) -> int:
        """How many batches were proposed."""
        return len(self._asked)

    def pending(self) -> list[tuple[float, ...]]:
        """The points of the last batch that were not evaluated yet."""
        asked = sum(len(batch) for batch in self._asked)
        return self._asked[-1][len(self._asked[-1]) - (asked - len(self._made)) :] if self._asked else []

    def ask(self, x: Array, seconds: tuple[float, float] = (0.0, 0.0)) -> None:
        """A batch (k, n) is proposed; the one before it is evaluated.

        Args:
            seconds: that it took, by the clock and of the processor.
        """
        points = [[float(value) for value in row] for row in x]
        rounded = [round(value, 6) for value in seconds]
        self._write({"batch": len(self._asked), "asked": points, "seconds": rounded})

    def add(self, values: Array | None, error: str | None, seconds: float) -> Evaluation:
        """The first pending point was evaluated: its m finite values, or why there are none."""
        line: dict[str, Any] = {"batch": len(self._asked) - 1, "x": list(self.pending()[0])}
        line |= {"error": error} if values is None else {"values": [float(value) for value in values]}
        self._write({**line, "seconds": round(seconds, 6)})
        return self._made[-1]

    def _write(self, line: dict[str, Any]) -> None:
        append_line(self.path, line)
        self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        if "asked" in line:
            self._asked.append([_point(row) for row in line["asked"]])
            self.proposing.append((float(line["seconds"][0]), float(line["seconds"][1])))
            return
        values = line.get("values")
        self._made.append(
            Evaluation(
                batch=int(line["batch"]),
                x=_point(line["x"]),
                values=None if values is None else _point(values),
                error=None if values is not None else str(line["error"]),
                seconds=float(line["seconds"]),
            )
        )


def _point(row: Sequence[float]) -> tuple[float, ...]:
    found = tuple(float(value) for value in row)
    if not all(map(math.isfinite, found)):
        raise ValueError(f"{found} is not finite")
    return found
