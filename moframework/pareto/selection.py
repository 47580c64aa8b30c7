"""Choosing one row of a table of columns: the best that meets conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from moframework.pareto.conditions import column, read_conditions

__all__ = ["best_row"]


def best_row(
    columns: Mapping[str, NDArray[np.float64]],
    *,
    where: str | Sequence[str] = (),
    maximize: str | None = None,
    minimize: str | None = None,
) -> int:
    """The row with the best value in one column among the rows that meet all conditions.

    Args:
        columns: name → (n,).
        where: conditions `COLUMN < NUMBER` (or `<=`, `>`, `>=`, `=`), one text or several; see `Condition.read`. nan
            meets none.
        maximize, minimize: the column that decides; exactly one of the two. The first of equal rows wins; a row whose
            value is nan is never chosen.

    Raises:
        ValueError: a condition cannot be read, or has more than 1,000 characters, or there are more than 1,000 of them;
            no such column; not exactly one of maximize and minimize; or no row is left: then the best value of each
            column asked for is told.

    >>> best_row({"a": np.array([1.0, 2.0, 3.0]), "b": np.array([5.0, 6.0, 7.0])}, where="a < 3", maximize="b")
    1
    """
    if maximize is not None and minimize is None:
        name, sign = maximize, -1.0
    elif minimize is not None and maximize is None:
        name, sign = minimize, 1.0
    else:
        raise ValueError("say exactly one of maximize and minimize, and which column")
    values = sign * column(columns, name)
    allowed = ~np.isnan(values)
    if not allowed.any():
        raise ValueError(f"{name} is nan in all rows")
    conditions = read_conditions(where, columns)
    for condition in conditions:
        allowed &= condition.holds(columns[condition.column])
    if not allowed.any():
        reach = [f"{condition} (best value {condition.best(columns[condition.column]):g})" for condition in conditions]
        raise ValueError(f"no point meets all conditions: {'; '.join(reach)}")
    return int(np.argmin(np.where(allowed, values, np.inf)))
