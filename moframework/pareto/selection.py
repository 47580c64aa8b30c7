"""Choosing one row of a table of columns: the best that meets conditions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from moframework.errors import nearest, shortened

__all__ = ["best_row"]

_CONDITION = re.compile(r"(?P<column>.*?)(?P<sign><=|>=|<|>)(?P<bound>[^<>=]+)", re.DOTALL)
# Names of columns are a task's and a metric's, numbers have some digits; each condition is one comparison.
_CHARACTERS, _CONDITIONS = 1000, 1000
_COMPARE = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}


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
        where: conditions `COLUMN < NUMBER` (or `<=`, `>`, `>=`), one text or several. nan meets none.
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
    values = sign * _column(columns, name)
    allowed = ~np.isnan(values)
    if not allowed.any():
        raise ValueError(f"{name} is nan in all rows")
    reach = []
    conditions = (where,) if isinstance(where, str) else where
    if len(conditions) > _CONDITIONS:
        raise ValueError(f"{len(conditions):,} conditions are too many: at most {_CONDITIONS:,}")
    for condition in conditions:
        holds, text = _condition(columns, condition)
        allowed &= holds
        reach.append(text)
    if not allowed.any():
        raise ValueError(f"no point meets all conditions: {'; '.join(reach)}")
    return int(np.argmin(np.where(allowed, values, np.inf)))


def _condition(columns: Mapping[str, NDArray[np.float64]], condition: str) -> tuple[NDArray[np.bool_], str]:
    """Which rows meet a condition, and the condition with the best value that there is."""
    told = shortened(condition, 200)
    found = _CONDITION.fullmatch(condition) if len(condition) <= _CHARACTERS else None
    if found is None:
        raise ValueError(f"cannot read condition '{told}': write COLUMN, one of < <= > >=, and a number")
    try:
        bound = float(found["bound"])
    except ValueError:
        raise ValueError(f"condition '{told}': '{shortened(found['bound'].strip())}' is not a number") from None
    if bound != bound:
        raise ValueError(f"condition '{told}': nothing is smaller or larger than nan")
    values = _column(columns, found["column"].strip())
    holds: NDArray[np.bool_] = _COMPARE[found["sign"]](values, bound)
    best = np.fmin.reduce(values) if found["sign"][0] == "<" else np.fmax.reduce(values)
    return holds, f"{condition.strip()} (best value {best:g})"


def _column(columns: Mapping[str, NDArray[np.float64]], name: str) -> NDArray[np.float64]:
    if name not in columns:
        guess = nearest(name, columns)
        hint = f" did you mean '{guess}'?" if guess else ""
        raise ValueError(f"no column '{shortened(name)}':{hint} allowed: {', '.join(columns)}")
    return columns[name]
