"""Conditions on columns of a front: `left/accuracy >= 0.95`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from moframework.errors import nearest, shortened

__all__ = ["Condition", "column", "column_name", "crossings", "read_conditions"]

Array = NDArray[np.float64]

_CONDITION = re.compile(
    r"(?P<column>[^<>=]*?)(?P<sign><=|>=|<|>|=)(?P<bound>[^<>=±]+?)(?:(?:±|\+-)(?P<tolerance>[^<>=±]+))?", re.DOTALL
)
# Names of columns are a task's and a metric's, numbers have some digits; each condition is one comparison.
_CHARACTERS, _CONDITIONS = 1000, 1000
_COMPARE: dict[str, Any] = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
_PERCENT = re.compile(r"\d+(\.\d+)? *%")
_SHARE = 0.01
"""Of the number, that `=` holds within where no tolerance is stated."""


@frozen
class Condition:
    """What a column is to be.

    Attributes:
        column: its name.
        sign: `<`, `<=`, `>`, `>=` or `=`.
        bound: the number.
        tolerance: what `=` holds within; 0 for the others.

    >>> Condition.read("left/loss = 0.5 ± 0.1", ["left/loss"]).excess(np.array([0.5, 0.6, 0.75])).round(2).tolist()
    [0.0, 0.0, 0.15]
    """

    column: str
    sign: str
    bound: float
    tolerance: float = 0.0

    @classmethod
    def read(cls, text: str, names: Collection[str]) -> Condition:
        """What a text says: `COLUMN >= NUMBER` (or `<=`, `<`, `>`), `COLUMN = NUMBER`, which holds within 1 % of the
        number, or `COLUMN = NUMBER ± TOLERANCE` (`+-` for `±`).

        Raises:
            ValueError: it cannot be read, has more than 1,000 characters, or `names` have no such column; the nearest
                name is told.
        """
        told = shortened(text, 200)
        found = _CONDITION.fullmatch(text) if len(text) <= _CHARACTERS else None
        if found is None:
            raise ValueError(f"cannot read condition '{told}': write COLUMN, one of < <= > >= =, and a number")
        sign, bound = found["sign"], _number(found["bound"], told)
        tolerance = 0.0
        if sign == "=":
            tolerance = abs(bound) * _SHARE if found["tolerance"] is None else _number(found["tolerance"], told)
            if not 0 < tolerance < np.inf:
                raise ValueError(f"condition '{told}': say within what it is to hold: {bound:g} ± 0.01")
        elif found["tolerance"] is not None:
            raise ValueError(f"condition '{told}': only = has a tolerance")
        return cls(column_name(found["column"].strip(), names), sign, bound, tolerance)

    def __str__(self) -> str:
        within = f" ± {self.tolerance:g}" if self.sign == "=" else ""
        return f"{self.column} {self.sign} {self.bound:g}{within}"

    def holds(self, values: Array) -> NDArray[np.bool_]:
        """Where values (n,) meet it; nan never does."""
        if self.sign == "=":
            return np.asarray(np.abs(values - self.bound) <= self.tolerance * (1 + 1e-9))
        return np.asarray(_COMPARE[self.sign](values, self.bound))

    def excess(self, values: Array) -> Array:
        """By how much values (n,) miss the bound, at least 0; infinite where they are nan. It is 0 on the bound itself,
        also where that is excluded."""
        if self.sign == "=":
            over = np.abs(values - self.bound) - self.tolerance
        else:
            over = values - self.bound if self.sign[0] == "<" else self.bound - values
        return np.asarray(np.where(np.isnan(over), np.inf, np.where(self.holds(values), 0.0, np.maximum(over, 0.0))))

    def best(self, values: Array) -> float:
        """The value among these that comes nearest to what is asked, or is farthest on its right side."""
        if self.sign == "=":
            known = values[~np.isnan(values)]
            return float(known[np.argmin(np.abs(known - self.bound))]) if len(known) else float("nan")
        return float(np.fmin.reduce(values) if self.sign[0] == "<" else np.fmax.reduce(values))


def read_conditions(where: str | Sequence[str], names: Collection[str]) -> list[Condition]:
    """One text or several as conditions. Raises ValueError as `Condition.read`, and for more than 1,000 of them."""
    texts = (where,) if isinstance(where, str) else where
    if len(texts) > _CONDITIONS:
        raise ValueError(f"{len(texts):,} conditions are too many: at most {_CONDITIONS:,}")
    return [Condition.read(text, names) for text in texts]


def column_name(name: str, names: Collection[str]) -> str:
    """`name`, where it is one of `names`. Raises ValueError with the nearest one where it is not."""
    if name not in names:
        guess = nearest(name, names)
        hint = f" did you mean '{guess}'?" if guess else ""
        raise ValueError(f"no column '{shortened(name)}':{hint} allowed: {', '.join(names)}")
    return name


def column(columns: Mapping[str, Array], name: str) -> Array:
    """The column `name` (n,). Raises ValueError as `column_name`."""
    return columns[column_name(name, columns)]


def crossings(x: Array, values: Array, bound: float) -> Array:
    """Where straight lines from point to point, x ascending (n,), take a value: ascending, each once.

    >>> crossings(np.array([0.0, 1.0, 2.0]), np.array([0.0, 2.0, 0.0]), 1.0).tolist()
    [0.5, 1.5]
    """
    found = [at for at, value in zip(x.tolist(), values.tolist(), strict=True) if value == bound]
    for k in range(len(x) - 1):
        left, right = values[k] - bound, values[k + 1] - bound
        if left * right < 0:
            found.append(float(x[k] + (x[k + 1] - x[k]) * left / (left - right)))
    return np.unique(found)


def _number(text: str, told: str) -> float:
    try:
        value = float(text)
    except ValueError:
        share = f"; write {float(text.strip(' %')) / 100:g}" if _PERCENT.fullmatch(text.strip()) else ""
        raise ValueError(f"condition '{told}': '{shortened(text.strip())}' is not a number{share}") from None
    if value != value:
        raise ValueError(f"condition '{told}': nothing is smaller or larger than nan")
    return value
