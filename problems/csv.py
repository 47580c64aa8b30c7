"""`csv`: a table of one's own, several of whose columns are to be told from the others. Declared wholly in the spec."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from attrs import frozen
from torch import Tensor

from moframework.backbones.base import Backbone
from moframework.backbones.mlp import MLP
from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.data import Split, TensorData, check_split
from moframework.data.cache import file_stamp
from moframework.data.cell_faults import CellFaults, in_lines_of
from moframework.data.table import Column, Lines, Standardization, in_order
from moframework.errors import DataError, shortened
from moframework.predicting import Reader, Reading, Unseen
from moframework.predicting.table import CategoryColumn, NumberColumn, TableReader
from moframework.problem.group_fairness import (
    Criterion,
    GroupFairness,
    Groups,
    fairness_task,
    gap_name,
    gaps_of,
    group_notes,
)
from moframework.problem.id_columns import id_notes
from moframework.problem.tabular import (
    KnownTarget,
    Target,
    check_columns,
    check_learned,
    find_split_faults,
    label_notes,
    labeled,
    targets_of,
)
from moframework.problem.task import Task

from .table_file import TableFile

__all__ = ["CSV"]

A = TypeVar("A")
B = TypeVar("B")

_SHOWN = 10  # different cells of a column that a message tells
_COLUMNS_TOLD = 12  # columns that a note lists

_EMPTY = ". A list under `missing` stands for the default one, which has '' for empty cells: write '' into it too"
_SOON_READ = 50_000_000  # bytes


@config
class CSV(TableFile):
    """Tell several columns of a table from its other columns.

    ::

        problem:
          name: csv
          path: houses.csv
          targets: {price: regression, sold: binary, kind: classes}
          ignore: [id]

    **Source, license.** Those of your file. **How to obtain.** `path` names a delimited text file, UTF-8, plain or .gz;
    it is read anew in each process.

    The first row names the columns, unless `names` does. `skip` leaves out lines at the beginning, `comment` those that
    begin with it. Cells are separated by commas, or by tabs or semicolons where the first row has no comma.

    **Inputs** are all columns but targets, `split` and those to `ignore`. A column whose known cells are all numbers is
    numeric, any other categorical, as all rows together say; `numeric` and `categorical` say otherwise, and
    `moframework check` tells which is which, and which columns look like ids. A column that is mostly numbers but not
    wholly is an error, which names line and cell. Numbers are standardized by the training rows; a missing one becomes
    the mean, and a further 0/1 input tells where it was missing, if that happens in training. Categories are one-hot,
    those of the training rows; a missing category, or one that training never saw, is all zeros. A cell is missing when
    it is one of `missing`.

    **Tasks**, one a target, of its column's name (with `_` in place of dots and slashes): `regression` is mean squared
    error on the column, standardized by the training rows unless `standardize_targets` is off, and mean absolute error
    in the column's own unit; `binary` is binary cross-entropy (accuracy, F1), where class 1 is the later of the two
    values in order (yes after no, 1 after 0); `classes` is cross-entropy (accuracy). Classes are those of the training
    rows, in order; a label with a full stop (`>50K.`) is that without, where both occur, and equal numbers (1 and 1.0)
    are one. Losses and metrics are exchanged as in any problem: `tasks: {price: {loss: huber}}`.

    **Fairness.** `fairness: {sex: equal_opportunity}` adds the task `sex_gap`: how differently the groups that the
    column says are decided on, by the output of the binary target. The criteria are `demographic_parity`,
    `equal_opportunity` and `equalized_odds`, losses and metrics of these names. With options, `{sex: {criterion:
    equal_opportunity, of: income, input: true}}`, it says which target, where there are several, and that the column is
    an input too, which it else is not; a column of numbers needs `bins: [30, 50]`. Groups are the known values of the
    column; rows without one do not count.

    **Missing targets.** A row need not have every target: each task is trained and judged on the rows that have its
    own, and `moframework check` tells how many these are. A row that has none is left out. `missing_targets: drop`
    leaves out all rows that lack one, `refuse` makes them an error.

    **Splits.** `split` names a column with train, val or test in each row; without it rows are split at random by
    `fractions` and `seed`. **Reference point.** None: the losses of the untrained network serve, and 1 for gaps.

    Accuracy against fairness, on one output::

        problem:
          name: csv
          path: people.csv
          targets: {income: binary}
          fairness: {sex: equal_opportunity}
    """

    path: Path = option(help="the file; relative to the spec's folder")
    numeric: tuple[str, ...] = option((), help="columns that are numbers; anything else in them is an error")
    categorical: tuple[str, ...] = option((), help="columns that are categories, even where they look like numbers")
    ignore: tuple[str, ...] = option((), help="columns that are no inputs, such as an id")
    fairness: dict[str, Criterion | GroupFairness] = option(
        factory=dict,
        help="columns that say groups of people, and what should be alike in these: demographic_parity, "
        "equal_opportunity, equalized_odds, or options; each adds a task",
    )
    standardize_targets: bool = option(True, help="regression targets get zero mean and unit variance in training")
    max_categories: int = option(
        200, ge=1, le=1_000_000, help="most categories of an input column; more are taken for a mistake"
    )

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        roles: dict[str, str] = {}
        for role, names in (
            ("targets", tuple(self.targets)),
            ("numeric", self.numeric),
            ("categorical", self.categorical),
            ("ignore", self.ignore),
            ("split", () if self.split is None else (self.split,)),
        ):
            for name in names:
                if name in roles:
                    raise OptionError(f"column '{name}' is in {roles[name]} and in {role}", role)
                roles[name] = role
        for name, gap in gaps_of(self.fairness, self.targets).items():
            taken = roles.get(name)
            if taken == "split":
                raise OptionError(f"column '{name}' is in split and in fairness", f"fairness.{name}")
            if gap.input and taken in ("targets", "ignore"):
                raise OptionError(f"column '{name}' is in {taken} and, as an input, in fairness", f"fairness.{name}")

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One for each target, in the order they are written, then one for each column of `fairness`. Raises
        `DataError` as `data` does."""
        return self._encoded().tasks

    @property
    def network(self) -> Backbone:
        """Two hidden layers of 128."""
        return MLP(hidden=(128, 128))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(width,): numbers, marks of missing numbers, categories."""
        return (self._encoded().inputs["train"].shape[1],)

    def data(self, split: Split) -> TensorData:
        """Inputs (n, width), float32; a target a task (n,): float32 for regression, else int64; of `fairness` (n, 2),
        label and group, int64."""
        encoded = self._encoded()
        return TensorData(encoded.inputs[check_split(split)], encoded.targets[split], origins=encoded.origins[split])

    def early_faults(self) -> list[str]:
        """What is wrong with a table of at most 50 MB."""
        try:
            if self.path.is_file() and self.path.stat().st_size > _SOON_READ:
                return []
            self._encoded()
        except DataError as error:
            return str(error).splitlines()
        return []

    @property
    def reader(self) -> TableReader:
        """What makes inputs of rows of another table, with all that it takes from the training rows. Raises `DataError`
        as `data` does."""
        return self._encoded().reader

    @property
    def class_names(self) -> Mapping[str, tuple[str, ...]]:
        """The classes of targets, as the table has them. Raises `DataError` as `data` does."""
        return self._encoded().class_names

    @property
    def notes(self) -> tuple[str, ...]:
        """What the columns were taken for, and labels that count as others. Raises `DataError` as `data` does."""
        return self._encoded().notes

    def other_rows(self, path: Path, reader: Reader, targets: Mapping[str, KnownTarget], unseen: Unseen) -> TensorData:
        """See `TableFile.other_rows`; a .parquet file will do as well. Groups of `fairness` are not read."""
        if self.fairness or not isinstance(reader, TableReader):
            raise DataError(f"{path}: rows of a file cannot be judged by how alike groups are treated (`fairness`)")
        whole = reader.columns_of(path, Reading(unseen=unseen, keep=tuple(targets)))
        kept = labeled(whole, targets, self.missing, self.missing_targets, path)
        table = {name: column.take(kept) for name, column in whole.items()}
        values = self.values_of(table, targets, path)
        try:
            inputs = reader.inputs(table)
        except DataError as error:
            raise DataError(in_lines_of(error, path)) from None
        lines = next(iter(table.values())).lines
        return TensorData(inputs, values, origins=None if lines is None else Lines(path, lines))

    def _encoded(self) -> _Encoded:
        try:
            stamp = file_stamp(self.path)
        except OSError as error:
            raise DataError(
                f"the table {self.path} cannot be read: {error.strerror}. Set problem.path to a CSV "
                "file; a relative path begins at the folder of the spec."
            ) from error
        return _encode(_Key(self), stamp)


class _Key:
    """A problem as a key: equal for equal options, which a dict among them keeps from being hashed."""

    def __init__(self, problem: CSV) -> None:
        self.problem = problem

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.problem == other.problem

    def __hash__(self) -> int:
        return hash((self.problem.path, self.problem.seed, *self.problem.targets))


@frozen(eq=False)
class _Encoded:
    """The table as tensors."""

    reader: TableReader
    inputs: Mapping[Split, Tensor]
    targets: Mapping[Split, dict[str, Tensor]]
    class_names: Mapping[str, tuple[str, ...]]
    tasks: tuple[Task, ...]
    origins: Mapping[Split, Lines]
    notes: tuple[str, ...]


@functools.lru_cache(maxsize=2)
def _encode(key: _Key, changed: tuple[int, int]) -> _Encoded:
    """All splits. Kept until other tables are read, or this one has changed."""
    problem = key.problem
    whole = problem.read(problem.path)
    _check_columns(problem, whole)
    table = problem.learned(whole, problem.path)
    _check_cells(problem, table)
    rows = problem.rows(table, problem.path)
    parts = {split: {name: column.take(chosen) for name, column in table.items()} for split, chosen in rows.items()}
    reader, made = _both(
        lambda: _reader(problem, table, parts["train"]),
        lambda: targets_of(
            table, problem.targets, rows["train"], problem.path, standardize=problem.standardize_targets,
            missing=problem.missing,
        ),
    )  # fmt: skip
    inputs = _inputs(problem, reader, parts)
    classes = [name for name, target in made.items() if target.categories]
    learned = {name: {split: part[name] for split, part in parts.items()} for name in classes}
    check_learned(learned, problem.path, problem.missing)
    values = {target.task.target_key: target.values for target in made.values()}
    gaps, gap_notes = _gaps(problem, table, made, rows)
    values |= {task.target_key: target for task, target in gaps}
    targets = {split: {key: value[chosen] for key, value in values.items()} for split, chosen in rows.items()}
    lines = next(iter(table.values())).lines
    assert lines is not None, "what is read from a file has lines"
    return _Encoded(
        reader,
        inputs,
        targets,
        {target.task.target_key: target.categories for target in made.values() if target.categories},
        (*(target.task for target in made.values()), *(task for task, _ in gaps)),
        {split: Lines(problem.path, lines[chosen]) for split, chosen in rows.items()},
        (
            *_column_notes(problem, table, parts["train"]),
            *id_notes(_undeclared(problem, table), problem.missing),
            *label_notes(whole, problem.targets, problem.missing),
            *gap_notes,
        ),
    )


def _both(first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
    """What two functions return. Raises `DataError` with what is wrong for either, so that it is told together."""
    try:
        made = first()
    except DataError as error:
        try:
            second()
        except DataError as other:
            raise DataError(f"{error}\n{other}") from None
        raise
    return made, second()


def _gaps(
    problem: CSV,
    table: Mapping[str, Column],
    made: Mapping[str, Target],
    rows: Mapping[Split, npt.NDArray[np.int64]],
) -> tuple[list[tuple[Task, Tensor]], list[str]]:
    """The tasks that compare groups, each with its target (n, 2), and what to tell of them."""
    gaps, notes = [], []
    for name, gap in gaps_of(problem.fairness, problem.targets).items():
        try:
            groups = Groups.of(table[name], gap.bins, problem.missing, codes=name in problem.categorical)
        except DataError as error:
            raise DataError(in_lines_of(error, f"{problem.path}: fairness")) from None
        assert gap.of is not None, "gaps_of fills it in"
        of = made[gap.of]
        task = fairness_task(gap_name(name), gap.criterion, of.task, len(groups.names))
        gaps.append((task, torch.stack([of.values, groups.codes], dim=1)))
        notes += group_notes(task, of.values, groups, rows)
    return gaps, notes


def _check_columns(problem: CSV, table: Mapping[str, Column]) -> None:
    """Every column that the spec names is there, all that are not are told at once."""
    keys: dict[str, Iterable[str]] = {
        "targets": problem.targets,
        "numeric": problem.numeric,
        "categorical": problem.categorical,
        "ignore": problem.ignore,
        "fairness": problem.fairness,
        "split": () if problem.split is None else (problem.split,),
    }
    check_columns(table, dict.fromkeys(chain(*keys.values())), problem.path, keys)
    if "" in _input_names(problem, table):
        raise DataError(
            f"{problem.path}: column {1 + list(table).index('')} has no name, as the numbers of rows in a table that "
            "pandas wrote: name it in the file, or leave it out with `ignore: ['']`"
        )
    if not _input_names(problem, table):
        raise DataError(f"{problem.path} has no column left for an input: all are targets, split or ignored")


def _input_names(problem: CSV, table: Mapping[str, Column]) -> list[str]:
    gaps = gaps_of(problem.fairness, problem.targets)
    taken = {*problem.targets, *problem.ignore, problem.split, *(name for name, gap in gaps.items() if not gap.input)}
    return [name for name in table if name not in taken]


def _check_cells(problem: CSV, table: Mapping[str, Column]) -> None:
    """What is to be a number is one, no column of numbers is taken for categories because of a few cells, and splits
    are named: all cells that are wrong are told at once."""
    faults = CellFaults()
    regression = [name for name, kind in problem.targets.items() if kind == "regression"]
    numeric = _numeric(problem, table)
    for name in (*numeric, *regression):
        table[name].find_faults(faults, problem.missing)
    for name in _input_names(problem, table):
        strays = () if name in numeric or name in problem.categorical else table[name].strays(problem.missing)
        if strays:
            faults.tell(*_of_strays(table[name], strays, problem.missing))
    if problem.split is not None:
        find_split_faults(table[problem.split], faults)
    faults.check(problem.path)


def _of_strays(column: Column, strays: Sequence[str], missing: Sequence[str]) -> tuple[str, int]:
    """What to say of a column that is mostly numbers, but for the cells `strays`, and how many these are."""
    known = len(column) - int(column.mapped([float(value in missing) for value in column.values]).sum())
    other = int(column.mapped([float(value in strays) for value in column.values]).sum())
    shown = [f"'{shortened(value)}' in {column.places(value)}" for value in strays[:_SHOWN]]
    more = f" and {len(strays) - _SHOWN} more" if len(strays) > _SHOWN else ""
    return (
        f"column '{shortened(column.name)}' seems to be numbers, but {other} of its {known} known cells are none: "
        f"{', '.join(shown)}{more}. Correct them, list under `missing` what means unknown, or put the column under "
        f"`categorical`; numbers have a point and no other marks{_EMPTY if '' in strays else ''}"
    ), other


def _column_notes(problem: CSV, table: Mapping[str, Column], train: Mapping[str, Column]) -> list[str]:
    """What the columns of the table were taken for."""
    numeric = _numeric(problem, table)
    others = [
        f"{name} ({sum(value not in problem.missing for value in train[name].values)})"
        for name in _input_names(problem, table)
        if name not in numeric
    ]
    found = {"numbers": numeric, "categories": others}
    told = "; ".join(f"{what} {_listed(names)}" for what, names in found.items() if names)
    return [f"{problem.path.name}: {told}", *problem.separator_notes(problem.path)]


def _undeclared(problem: CSV, table: Mapping[str, Column]) -> list[Column]:
    """The columns of inputs of which the spec does not say what they are."""
    told = {*problem.numeric, *problem.categorical, *problem.fairness}
    return [table[name] for name in _input_names(problem, table) if name not in told]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(shortened(name) for name in names[:_COLUMNS_TOLD])
    return shown if len(names) <= _COLUMNS_TOLD else f"{shown} and {len(names) - _COLUMNS_TOLD} more"


def _numeric(problem: CSV, table: Mapping[str, Column]) -> list[str]:
    """The columns of inputs that are numbers."""
    return [
        name
        for name in _input_names(problem, table)
        if name in problem.numeric or (name not in problem.categorical and table[name].is_numeric(problem.missing))
    ]


def _reader(problem: CSV, table: Mapping[str, Column], train: Mapping[str, Column]) -> TableReader:
    """What makes inputs of rows: numbers, marks of missing numbers, one-hot categories, as the training rows say."""
    numeric = _numeric(problem, table)
    others = [name for name in _input_names(problem, table) if name not in numeric]
    numbers = []
    if numeric:
        known = np.stack([train[name].numbers(problem.missing) for name in numeric], axis=1)
        by, gaps = Standardization.of(known), np.isnan(known)
        for i, name in enumerate(numeric):
            mean, scale = float(by.mean[i]), float(by.scale[i])
            numbers.append(NumberColumn(column=name, mean=mean, scale=scale, marked=bool(gaps[:, i].any())))
    categories = _categories(problem, [train[name] for name in others])
    if not numbers and not any(each.categories for each in categories):
        raise DataError(f"{problem.path}: every input is missing in all training rows")
    return TableReader(
        numbers=tuple(numbers),
        categories=tuple(categories),
        others=tuple(name for name in table if name not in (*numeric, *others)),
        names=problem.names,
        skip=problem.skip,
        comment=problem.comment,
        delimiter=problem.delimiter,
        missing=problem.missing,
    )


def _inputs(problem: CSV, reader: TableReader, parts: Mapping[Split, Mapping[str, Column]]) -> dict[Split, Tensor]:
    try:
        return {split: reader.inputs(part) for split, part in parts.items()}
    except DataError as error:
        raise DataError(in_lines_of(error, problem.path)) from None


def _categories(problem: CSV, columns: Iterable[Column]) -> list[CategoryColumn]:
    """The categories of columns of training rows; all columns that have too many are told at once."""
    found, faults = [], []
    for train in columns:
        known = in_order(value for value in train.values if value not in problem.missing)
        found.append(CategoryColumn(column=train.name, categories=known))
        if len(known) > problem.max_categories:
            faults.append(
                f"{problem.path}: column '{train.name}' has {len(known)} different values in {len(train)} training "
                f"rows, such as '{shortened(known[0])}' and '{shortened(known[-1])}', too many for categories; put it "
                f"into `ignore`, or raise max_categories ({problem.max_categories})"
            )
    if faults:
        raise DataError("\n".join(faults))
    return found
