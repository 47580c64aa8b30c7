"""Columns of inputs that look like ids: a table of one's own often has one, and nothing is to be learned from it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from moframework.data.table import Column, is_number
from moframework.errors import shortened

__all__ = ["id_notes"]

_FEWEST = 20  # rows from which cells are hardly all different by chance
# Of n numbers that are drawn from R alike, all are different with a chance of about exp(-n² / 2R): here below 1 %.
_SURPRISE = 5.0
_GLANCE = 100  # values that are looked at before all of them are
_TOLD = 5  # columns that are told, each with a sentence
_NAMES = frozenset(("id", "ids", "guid", "uuid"))
"""The last word of a name that says so whatever stands before it."""
_WHOLE_NAMES = frozenset(("idx", "index", "key", "pk", "row", "rowid", "rownum", "row number", "unnamed 0"))
"""What says so as the whole name alone: a refractive index is none."""


def id_notes(inputs: Iterable[Column], missing: Sequence[str] = ()) -> list[str]:
    """What to tell of columns that look like ids, a sentence for each.

    A column looks like one when each row has a cell of its own, and the cells are text, or whole numbers that count
    rows (they rise from row to row, or are too close together to differ by chance), or whole numbers under a name that
    says so; and when such a name has whole numbers that repeat. Numbers with decimals never do.

    Args:
        inputs: the columns; those of which the spec says what they are had better be left out.
        missing: cells that mean unknown; an id has none.

    >>> [note[:24] for note in id_notes([Column.of("nr", [str(i) for i in range(30)])])]
    ["column 'nr' looks like a"]
    >>> id_notes([Column.of("area", [str(i / 7) for i in range(1, 30)])])
    []
    """
    found = []
    for column in inputs:
        own, named = len(column.values) == len(column), _is_named(column.name, repeats=len(column.values) < len(column))
        if not (own or named) or _has_decimals(column) or not {*missing}.isdisjoint(column.values):
            continue
        numeric = column.is_numeric()
        reason = _of_numbers(column, own, named) if numeric else _of_texts(column, own, named)
        if reason is not None:
            found.append((shortened(column.name), reason, "numeric" if numeric else "categorical"))
    notes = [
        f"column '{name}' looks like an id: {reason}. What a model learns from an id holds for no other row: leave the "
        f"column out with `ignore: [{name}]`; where it is no id, `{kind}: [{name}]` says so"
        for name, reason, kind in found[:_TOLD]
    ]
    if len(found) > _TOLD:
        names = ", ".join(name for name, _, _ in found[_TOLD : 2 * _TOLD])
        more = ", …" if len(found) > 2 * _TOLD else ""
        notes.append(f"{len(found) - _TOLD} more columns look like ids: {names}{more}")
    return notes


def _has_decimals(column: Column) -> bool:
    """Whether a look at its beginning tells that a column is none of whole numbers; most features are settled by it."""
    return any(is_number(value) and not float(value).is_integer() for value in column.values[:_GLANCE])


def _of_texts(column: Column, own: bool, named: bool) -> str | None:
    """Why a column of categories looks like an id; None: it does not."""
    return f"all its {len(column):,} cells are different texts" if own and (named or len(column) >= _FEWEST) else None


def _of_numbers(column: Column, own: bool, named: bool) -> str | None:
    """Why a column of numbers looks like an id; None: it does not."""
    numbers, rows = _whole(column), len(column)
    if numbers is None:
        return None
    if not own:
        return "its name says so, and it has whole numbers"
    if rows >= _FEWEST and (numbers[1:] > numbers[:-1]).all():
        return f"its {rows:,} whole numbers rise from row to row"
    if rows >= _FEWEST and rows**2 > 2 * _SURPRISE * (numbers.max() - numbers.min() + 1):
        return f"its {rows:,} whole numbers are all different, though they lie close together"
    return f"its name says so, and its {rows:,} whole numbers are all different" if named else None


def _is_named(name: str, *, repeats: bool = False) -> bool:
    """Whether a name says that it is one of an id; of one whose cells may repeat, as those of a customer do.

    >>> [_is_named(name) for name in ("id", "customer_ID", "PassengerId", "index", "grid", "body_mass_index")]
    [True, True, True, True, False, False]
    >>> [_is_named(name, repeats=True) for name in ("customer_ID", "key")]
    [True, False]
    """
    words = [word.casefold() for word in re.findall(r"[^\W\d_]+|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))]
    return bool(words) and (words[-1] in _NAMES or (not repeats and " ".join(words) in _WHOLE_NAMES))


def _whole(column: Column) -> npt.NDArray[np.float64] | None:
    """The cells as whole numbers (n,); None where some are none."""
    numbers = []
    for value in column.values:
        number = float(value) if is_number(value) else 0.5
        if not number.is_integer():
            return None
        numbers.append(number)
    return column.mapped(numbers)
