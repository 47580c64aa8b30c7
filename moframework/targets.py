"""Targets of a declared problem from columns of a table: what each column is says loss, metrics, size and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
from attrs import frozen
from torch import Tensor

from moframework.columns import Column, Standardization
from moframework.errors import DataError, nearest
from moframework.losses import MSE, BinaryCrossEntropy, CrossEntropy
from moframework.metrics import F1, MAE, Accuracy
from moframework.tasks import Task

__all__ = ["Target", "TargetKind", "column_of", "targets_of"]

TargetKind = Literal["regression", "binary", "classes"]
"""What a column holds: numbers; two values; or one of several."""


@frozen(eq=False)
class Target:
    """A column as a task's target.

    - `regression`: numbers, with mean 0 and variance 1 over the training rows; squared error, absolute error.
    - `binary`: two values, of which the second in order means yes; binary cross-entropy, accuracy, F1.
    - `classes`: any values, numbered in order; cross-entropy, accuracy.

    The task is called as the column, with `_` in place of dots and slashes. Order is that of numbers where all values
    are numbers, else that of text.
    """

    task: Task
    values: Tensor
    """Of every row, (n,): float32 for regression, else int64."""
    categories: tuple[str, ...] = ()
    """What each class is in the table; empty for regression."""

    @classmethod
    def of(cls, column: Column, kind: TargetKind, train: npt.NDArray[np.int64]) -> Target:
        """A target from all rows of a table.

        Args:
            column: n rows.
            kind: see the class.
            train: rows that are trained on; mean and variance are theirs.

        Raises:
            DataError: a cell is no number, or there are not two values, or fewer.
        """
        task_name = column.name.replace(".", "_").replace("/", "_")
        if kind == "regression":
            numbers = column.numbers()[:, None]
            values = Standardization.of(numbers[train])(numbers)[:, 0]
            return cls(Task(name=task_name, loss=MSE(), metrics=(MAE(),)), values.contiguous())
        categories = _ordered(column)
        found = ", ".join(categories[:5]) + (", …" if len(categories) > 5 else "")
        if kind == "binary" and len(categories) != 2:
            raise DataError(
                f"column '{column.name}' is to be binary, but has {len(categories)} values: {found}; "
                "say `classes`, or `regression`"
            )
        if len(categories) < 2:
            raise DataError(f"column '{column.name}' has one value only, {found}: there is nothing to learn")
        if kind == "binary":
            task = Task(name=task_name, loss=BinaryCrossEntropy(), metrics=(Accuracy(), F1()))
        else:
            task = Task(name=task_name, loss=CrossEntropy(), metrics=(Accuracy(),), size=len(categories))
        return cls(task, column.positions(categories), categories)


def targets_of(
    columns: Mapping[str, Column], kinds: Mapping[str, TargetKind], train: npt.NDArray[np.int64], table: object
) -> dict[str, Target]:
    """The targets that a spec names, in its order.

    Args:
        columns: of the table, by name.
        kinds: what each target is, by the name of its column.
        train: rows that are trained on.
        table: what the table is called, for messages.

    Raises:
        DataError: there is no such column, or it is not what it is said to be.
    """
    return {name: Target.of(column_of(columns, name, table), kind, train) for name, kind in kinds.items()}


def column_of(columns: Mapping[str, Column], name: str, table: object) -> Column:
    """A column by its name. Raises `DataError`, which proposes the nearest, when there is none."""
    if name not in columns:
        guess = nearest(name, columns)
        hint = f"; did you mean '{guess}'?" if guess else ""
        raise DataError(f"{table} has no column '{name}'; it has {', '.join(columns)}{hint}")
    return columns[name]


def _ordered(column: Column) -> tuple[str, ...]:
    present = column.present()
    if column.is_numeric():
        return tuple(sorted(present, key=float))
    return tuple(sorted(present))
