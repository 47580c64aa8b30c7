"""A table as a problem: what each target column is says loss, metrics, size and values; and which rows are in which
split."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from attrs import frozen
from torch import Tensor

from moframework.config.options import OptionError
from moframework.data import SPLITS, Split, random_split
from moframework.data.cell_faults import CellFaults, in_lines_of
from moframework.data.table import Column, Standardization, check_reach, in_order, is_number
from moframework.errors import DataError, meant, nearest, shortened
from moframework.losses import MSE, BinaryCrossEntropy, CrossEntropy
from moframework.metrics import F1, MAE, Accuracy
from moframework.predicting import Answer
from moframework.problem.task import Task

__all__ = [
    "MISSING",
    "UNKNOWN",
    "KnownTarget",
    "MissingTargets",
    "Target",
    "TargetKind",
    "check_columns",
    "check_learned",
    "check_targets",
    "column_of",
    "find_split_faults",
    "label_notes",
    "labeled",
    "respelled",
    "spellings",
    "split_rows",
    "target_task",
    "targets_of",
    "task_name",
]

TargetKind = Literal["regression", "binary", "classes"]
"""What a column holds: numbers; two values; or one of several."""

MissingTargets = Literal["keep", "drop", "refuse"]
"""What becomes of rows that lack some of their targets: each task trains on those that have its own; they are left out;
or they are an error."""

MISSING = ("", "?", "NA", "N/A", "nan", "NaN", "null")
"""Cells that mean unknown, unless a spec says otherwise."""

UNKNOWN = -100
"""A class that is not known: what losses and metrics ignore unless a spec says otherwise."""

_LISTED = 50  # columns that a message names
_TOLD = 10  # labels that count as another
_SPLIT_NAMES = {"train": 0, "val": 1, "valid": 1, "validation": 1, "test": 2}


@frozen(eq=False)
class Target:
    """A column as a task's target.

    - `regression`: numbers, with mean 0 and variance 1 over the training rows; squared error of these, absolute error
      in the column's own unit.
    - `binary`: two values, of which the second in order means yes; binary cross-entropy, accuracy, F1.
    - `classes`: any values, numbered in order; cross-entropy, accuracy.

    The task is called as the column, with `_` in place of dots and slashes. Order is that of numbers where all values
    are numbers, else that of text.
    """

    task: Task
    values: Tensor
    """Of every row, (n,): float32 for regression, nan where unknown; else int64, `UNKNOWN` where unknown."""
    categories: tuple[str, ...] = ()
    """What each class is in the table; empty for regression."""

    @classmethod
    def of(
        cls,
        column: Column,
        kind: TargetKind,
        train: npt.NDArray[np.int64],
        *,
        standardize: bool = True,
        missing: Sequence[str] = (),
    ) -> Target:
        """A target from all rows of a table.

        Args:
            column: n rows.
            kind: see the class.
            train: rows that are trained on; mean and variance are those of the known ones among them.
            standardize: False leaves numbers of `regression` as they are.
            missing: cells that mean unknown.

        Raises:
            DataError: a cell is no number, or there are not two values, or fewer.
        """
        if kind == "regression":
            numbers = column.numbers(missing)
            standardization = Standardization.of(numbers[train, None])
            scaled = standardization(numbers[:, None])[:, 0].contiguous()
            check_reach(scaled[:, None], [column])
            values = torch.from_numpy(numbers.astype(np.float32))
            if not standardize:
                return cls(target_task(column.name, kind), values)
            mean, deviation = float(standardization.mean[0]), float(standardization.scale[0])
            task = target_task(column.name, kind, mean=mean, deviation=deviation)
            return cls(task, torch.where(values.isnan(), values, scaled))
        categories = in_order(value for value in column.values if value not in missing)
        found = ", ".join(shortened(value) for value in categories[:5]) + (", …" if len(categories) > 5 else "")
        if kind == "binary" and len(categories) != 2:
            raise DataError(
                f"column '{column.name}' is to be binary, but has {len(categories)} values: {found}"
                f"{_rarest(column, categories)}; say `classes`, or `regression`, or list under `missing` what means "
                "unknown"
            )
        if len(categories) < 2:
            known = f"one value only, {found}" if categories else "no known value"
            raise DataError(f"column '{column.name}' has {known}: there is nothing to learn")
        codes = column.positions(categories)
        task = target_task(column.name, kind, size=len(categories))
        return cls(task, torch.where(codes < 0, UNKNOWN, codes), categories)


@frozen(eq=False)
class KnownTarget:
    """A column as a task's target, as the rows that a model was trained on have said.

    Attributes:
        task: of a regression with mean and deviation of these rows.
        categories: the classes, in order; empty for regression.
    """

    task: Task
    categories: tuple[str, ...] = ()

    @classmethod
    def of(cls, column: str, kind: TargetKind, answers: Mapping[str, Answer]) -> KnownTarget:
        """A target from the answers that a model was saved with, by task.

        Raises:
            DataError: they do not say what its classes are.
        """
        answer = answers.get(task_name(column))
        if answer is None or (kind != "regression" and not answer.categories):
            raise DataError(
                f"the model does not say what classes or unit the target '{column}' had in training, as where another "
                "loss has changed the width of its output: samples of a file cannot be judged"
            )
        if kind == "regression":
            return cls(target_task(column, kind, mean=answer.mean, deviation=answer.deviation))
        return cls(target_task(column, kind, size=len(answer.categories)), answer.categories)

    def values(self, column: Column, missing: Sequence[str] = ()) -> Tensor:
        """Targets of other rows (n,): as of `Target`.

        Args:
            column: n rows. A class under another label that `spellings` would find is that class.
            missing: cells that mean unknown.

        Raises:
            DataError: a cell is no number, or a class that training never saw; column and place are named.
        """
        if not self.categories:
            numbers = column.numbers(missing)
            by = Standardization(np.array([self.task.mean]), np.array([self.task.deviation]))
            scaled = by(numbers[:, None])
            check_reach(scaled, [column])
            return torch.where(torch.from_numpy(np.isnan(numbers)), float("nan"), scaled[:, 0])
        equal = {float(name): name for name in self.categories if is_number(name)}
        alike = {value: equal[float(value)] for value in column.values if is_number(value) and float(value) in equal}
        stops = {f"{name}.": name for name in self.categories if not is_number(name)}
        known = column.replaced({**stops, **alike, **{name: name for name in self.categories}})
        self._check_known(known, missing)
        codes = known.positions(self.categories)
        return torch.where(codes < 0, UNKNOWN, codes)

    def _check_known(self, column: Column, missing: Sequence[str]) -> None:
        """Raise `DataError` where there are classes that training never saw."""
        known, faults = {*self.categories, *missing}, CellFaults()

        def words(value: str, places: str) -> str:
            near = nearest(value, self.categories)
            guess = f"; did you mean '{shortened(near)}'?" if near else ""
            name, found = shortened(column.name), shortened(value)
            return f"target '{name}' has the class '{found}' in {places}, which training never saw{guess}"

        column.tell(faults, [i for i, value in enumerate(column.values) if value not in known], words)
        faults.check(advice=f"it saw {', '.join(map(shortened, self.categories[:_LISTED]))}")


def _rarest(column: Column, categories: Sequence[str]) -> str:
    """Where a column that should have two values has the one that is most likely a slip; nothing where none is rarer
    than the others."""
    rows = dict(zip(column.values, np.bincount(column.codes, minlength=len(column.values)).tolist(), strict=True))
    rarest, *others = sorted(categories, key=lambda value: rows[value]) or [""]
    if len(others) < 2 or rows[rarest] == rows[others[0]]:
        return ""
    return f" (the rarest, '{shortened(rarest)}', in {column.places(rarest)})"


def target_task(column: str, kind: TargetKind, *, size: int = 1, mean: float = 0.0, deviation: float = 1.0) -> Task:
    """The task of a column: see `Target`.

    Args:
        size: how many classes there are.
        mean, deviation: of a regression whose values are standardized.
    """
    name = task_name(column)
    if kind == "regression":
        return Task(name=name, loss=MSE(), metrics=(MAE(),), mean=mean, deviation=deviation)
    if kind == "binary":
        return Task(name=name, loss=BinaryCrossEntropy(), metrics=(Accuracy(), F1()))
    return Task(name=name, loss=CrossEntropy(), metrics=(Accuracy(),), size=size)


def task_name(column: str) -> str:
    """What the task of a column is called: as the column, with `_` in place of dots and slashes."""
    return column.replace(".", "_").replace("/", "_")


def check_targets(targets: Mapping[str, TargetKind]) -> None:
    """Raises `OptionError`, for the option `targets`, when it is empty or gives two tasks of one name."""
    if not targets:
        raise OptionError("targets must name at least one column", "targets")
    if len({task_name(name) for name in targets}) < len(targets):
        raise OptionError("targets give two tasks of one name", "targets")


def targets_of(
    columns: Mapping[str, Column],
    kinds: Mapping[str, TargetKind],
    train: npt.NDArray[np.int64],
    table: object,
    *,
    standardize: bool = True,
    missing: Sequence[str] = (),
) -> dict[str, Target]:
    """The targets that a spec names, in its order.

    Args:
        columns: of the table, by name.
        kinds: what each target is, by the name of its column.
        train: rows that are trained on.
        table: what the table is called, for messages.
        standardize: False leaves numbers as they are.
        missing: cells that mean unknown.

    Raises:
        DataError: there is no such column, or it is not what it is said to be; all targets are told at once.
    """
    check_columns(columns, kinds, table)
    faults, made, wrong = CellFaults(), {}, []
    for name, kind in kinds.items():
        if kind == "regression":
            columns[name].find_faults(faults, missing)
    faults.check(table)
    for name, kind in kinds.items():
        try:
            made[name] = Target.of(columns[name], kind, train, standardize=standardize, missing=missing)
        except DataError as error:
            wrong.append(in_lines_of(error, table))
    if wrong:
        raise DataError("\n".join(wrong))
    return made


def labeled(
    columns: Mapping[str, Column],
    kinds: Iterable[str],
    missing: Sequence[str],
    missing_targets: MissingTargets,
    table: object,
) -> npt.NDArray[np.int64]:
    """The rows of a table that have targets: with `keep` at least one, with `drop` all of them.

    Args:
        columns: of the table, by name.
        kinds: the columns that are targets.
        missing: cells that mean unknown.
        missing_targets: what becomes of rows that lack some.
        table: what the table is called, for messages.

    Raises:
        DataError: there is no such column, a target is missing and that is refused, or no row is left.
    """
    lacking, faults = {}, CellFaults()
    for name in kinds:
        column = column_of(columns, name, table)
        lacking[name] = column.mapped([float(value in missing) for value in column.values]) == 1
        if lacking[name].any() and missing_targets == "refuse":
            rows = int(lacking[name].sum())
            first = column.place(int(np.argmax(lacking[name])))
            faults.tell(f"target '{name}' is missing in {rows} rows, first in {first}", rows)
    faults.check(
        table,
        "fill them in, train each task on the rows that have its target with missing_targets: keep, or leave such rows "
        "out with missing_targets: drop",
    )
    gone = np.stack(list(lacking.values()))
    kept = np.flatnonzero(~(gone.any(axis=0) if missing_targets == "drop" else gone.all(axis=0)))
    if not len(kept):
        none = "every target; missing_targets: keep trains each task on the rows that have its own"
        raise DataError(f"{table}: no row has {none if missing_targets == 'drop' else 'a target'}")
    return kept


def column_of(columns: Mapping[str, Column], name: str, table: object) -> Column:
    """A column by its name. Raises `DataError`, which proposes the nearest, when there is none."""
    check_columns(columns, [name], table)
    return columns[name]


def check_columns(
    columns: Mapping[str, Column], names: Iterable[str], table: object, keys: Mapping[str, Iterable[str]] | None = None
) -> None:
    """Raises `DataError` with a line for each of `names` that is no column; arguments are those of `targets_of`.

    Args:
        keys: of the spec, each with the names that stand there; a line says which one asks for the column.
    """
    faults = []
    asks = {name: key for key, asked in (keys or {}).items() for name in asked}
    for name in names:
        if name not in columns:
            near = meant(name, columns)
            have = ", ".join(shortened(known) for known in itertools.islice(columns, _LISTED))
            more = f" and {len(columns) - _LISTED:,} more" if len(columns) > _LISTED else ""
            by = f", which `{asks[name]}` names" if name in asks else ""
            faults.append(
                f"{table} has no column '{shortened(name)}'{by}; {near}it has {have}{more}{_no_header(columns)}"
            )
    if faults:
        raise DataError("\n".join(faults))


def _no_header(columns: Mapping[str, Column]) -> str:
    """What to do where what was taken for names of columns looks like a row."""
    number = next((name for name in columns if is_number(name)), None)
    if number is None:
        return ""
    return (
        f". '{shortened(number)}' is a number: where the file has no header, name its {len(columns)} columns with the "
        "option `names`"
    )


def respelled(
    columns: Mapping[str, Column], kinds: Mapping[str, TargetKind], missing: Sequence[str] = ()
) -> dict[str, Column]:
    """The columns of a table, with each class of a target under one label: see `spellings`.

    Args:
        columns: of the table, by name.
        kinds: what each target is, by the name of its column.
        missing: cells that mean unknown.
    """
    targets = [name for name, kind in kinds.items() if kind != "regression"]
    return {**columns, **{name: columns[name].replaced(spellings(columns[name], missing)) for name in targets}}


def spellings(column: Column, missing: Sequence[str] = ()) -> dict[str, str]:
    """Labels of a class that occurs under several: which one stands for each of the others.

    That is so for numbers that are equal (`1` and `1.0`), where all known labels are numbers, and for a label that
    occurs with a full stop after it too: the test file of Adult has `>50K.` where the other has `>50K`.

    >>> spellings(Column.of("income", ["<=50K", ">50K", ">50K."]))
    {'>50K.': '>50K'}
    """
    values = [value for value in column.values if value not in missing]
    if all(is_number(value) for value in values):
        shortest: dict[float, str] = {}
        for value in sorted(values, key=lambda text: (len(text), text)):
            shortest.setdefault(float(value), value)
        # nan equals nothing, itself included, and so stands for itself.
        return {value: same for value in values if (same := shortest.get(float(value), value)) != value}
    return {value: value[:-1] for value in values if value.endswith(".") and value[:-1] in values}


def label_notes(
    columns: Mapping[str, Column], kinds: Mapping[str, TargetKind], missing: Sequence[str] = ()
) -> list[str]:
    """What to tell of the labels of a table: those that count as others, and two that differ in capitals only.
    Arguments are those of `respelled`."""
    notes = []
    for name, kind in kinds.items():
        if kind == "regression":
            continue
        column = columns[name]
        for value, stands in itertools.islice(spellings(column, missing).items(), _TOLD):
            notes.append(f"target '{name}': '{shortened(value)}' counts as '{shortened(stands)}'")
        seen: dict[str, str] = {}
        for value in column.values:
            other = seen.setdefault(value.casefold(), value)
            if other != value and not {other, value} & {*missing}:
                notes.append(
                    f"target '{name}': '{shortened(other)}' and '{shortened(value)}' (first in {column.first(value)}) "
                    "are two classes; where they are one, write them alike"
                )
                break
    return notes


def check_learned(targets: Mapping[str, Mapping[Split, Column]], table: object, missing: Sequence[str] = ()) -> None:
    """Raise `DataError` where targets have classes that are not among the training rows.

    Args:
        targets: by name, their column in each split.
        table: what the table is called, for messages.
        missing: cells that mean unknown.
    """
    faults = CellFaults()
    for name, parts in targets.items():
        known = {*parts["train"].values, *missing}
        for split in SPLITS[1:]:
            new = [position for position, value in enumerate(parts[split].values) if value not in known]
            parts[split].tell(faults, new, partial(_not_learned, name, split))
    faults.check(table, "move such rows to train, leave them out of the file, or choose another seed")


def _not_learned(name: str, split: Split, value: str, places: str) -> str:
    return f"target '{name}' has the class '{shortened(value)}' in {split} ({places}), but not in the training rows"


def find_split_faults(column: Column, faults: CellFaults) -> None:
    """Tell the cells that name no split."""
    wrong = [position for position, value in enumerate(column.values) if value.lower() not in _SPLIT_NAMES]
    allowed = ", ".join(SPLITS)
    column.tell(
        faults,
        wrong,
        lambda value, places: (
            f"column '{column.name}' has '{shortened(value)}' in {places}, but a split is one of {allowed}"
        ),
    )


def split_rows(
    columns: Mapping[str, Column],
    split: str | None,
    fractions: tuple[float, float, float],
    seed: int,
    table: object,
) -> dict[Split, npt.NDArray[np.int64]]:
    """Which rows of a table are in which split, in the order of the table.

    Args:
        columns: of the table, by name; at least one.
        split: column with train, val (or valid, validation) or test in each row, in any case; None for a
            random split.
        fractions: shares of train, val and test, where no column says.
        seed: of the random split.
        table: what the table is called, for messages.

    Raises:
        DataError: there is no such column, it says something else, or a split has no rows.
    """
    count = len(next(iter(columns.values())))
    if split is None:
        membership = random_split(count, fractions, seed)
    else:
        column, faults = column_of(columns, split, table), CellFaults()
        find_split_faults(column, faults)
        faults.check(table)
        membership = np.array([_SPLIT_NAMES[value.lower()] for value in column.values])[column.codes]
    rows = {name: np.flatnonzero(membership == position) for position, name in enumerate(SPLITS)}
    for name, chosen in rows.items():
        if not len(chosen):
            how = "the option `fractions`" if split is None else f"the column '{split}'"
            raise DataError(f"{table} has {count} rows, and none for '{name}': change {how}")
    return rows
