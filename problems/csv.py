"""`csv`: a table of one's own, several of whose columns are to be told from the others. Declared wholly in the spec."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from attrs import frozen
from torch import Tensor

from moframework.backbones.base import Backbone
from moframework.backbones.mlp import MLP
from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.data import SPLITS, Split, TensorData, check_fractions, check_split
from moframework.data.cache import file_stamp
from moframework.data.table import Column, Standardization, check_reach, in_order, one_hot, read_columns
from moframework.errors import DataError, shortened
from moframework.problem import Problem
from moframework.problem.tabular import (
    MISSING,
    MissingTargets,
    TargetKind,
    check_columns,
    check_targets,
    labeled,
    split_rows,
    targets_of,
)
from moframework.problem.task import Task

__all__ = ["CSV"]


@config
class CSV(Problem):
    """Tell several columns of a table from its other columns.

    ::

        problem:
          name: csv
          path: houses.csv
          targets: {price: regression, sold: binary, kind: classes}
          ignore: [id]

    **Source, license.** Those of your file. **How to obtain.** `path` names a delimited text file with a header, UTF-8,
    plain or .gz; it is read anew in each process.

    **Inputs** are all columns but targets, `split` and those to `ignore`. A column whose known cells are all numbers is
    numeric, any other categorical; `numeric` and `categorical` say otherwise. Numbers are standardized by the training
    rows; a missing one becomes the mean, and a further 0/1 input tells where it was missing, if that happens in
    training. Categories are one-hot, those of the training rows; a missing category, or one that training never saw, is
    all zeros. A cell is missing when it is one of `missing`.

    **Tasks**, one a target, of its column's name (with `_` in place of dots and slashes): `regression` is mean squared
    error (and mean absolute error) on the column, standardized by the training rows unless `standardize_targets` is
    off; `binary` is binary cross-entropy (accuracy, F1), where class 1 is the later of the two values in order (yes
    after no, 1 after 0); `classes` is cross-entropy (accuracy). Classes are those of the training rows, in order.
    Losses and metrics are exchanged as in any problem: `tasks: {price: {loss: huber}}`.

    **Missing targets.** A row need not have every target: each task is trained and judged on the rows that have its
    own, and `moframework check` tells how many these are. A row that has none is left out. `missing_targets: drop`
    leaves out all rows that lack one, `refuse` makes them an error.

    **Splits.** `split` names a column with train, val or test in each row; without it rows are split at random by
    `fractions` and `seed`. **Reference point.** None: the losses of the untrained network serve.
    """

    path: Path = option(help="the file; relative to the spec's folder")
    targets: dict[str, TargetKind] = option(help="what is told: a kind for each target column")
    numeric: tuple[str, ...] = option((), help="columns that are numbers; anything else in them is an error")
    categorical: tuple[str, ...] = option((), help="columns that are categories, even where they look like numbers")
    ignore: tuple[str, ...] = option((), help="columns that are no inputs, such as an id")
    missing: tuple[str, ...] = option(MISSING, help="cells that mean unknown")
    missing_targets: MissingTargets = option(
        "keep",
        help="rows that lack some of their targets: keep trains each task on those that have its own, drop leaves them "
        "out, refuse makes them an error",
    )
    standardize_targets: bool = option(True, help="regression targets get zero mean and unit variance in training")
    max_categories: int = option(
        200, ge=1, le=1_000_000, help="most categories of an input column; more are taken for a mistake"
    )
    split: str | None = option(None, help="column with train, val or test in each row; none: rows are split at random")
    fractions: tuple[float, float, float] = option(
        (0.7, 0.1, 0.2), gt=0, help="shares of train, val and test, where no column says"
    )
    seed: int = option(0, ge=0, lt=2**32, help="of the random split")
    delimiter: str = option(",", help="what separates the cells of a row, one character")

    def __attrs_post_init__(self) -> None:
        check_targets(self.targets)
        check_fractions(self.fractions)
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n\0':
            raise OptionError(
                "delimiter must be one character, neither a quote nor the end of a line, but it is "
                f"{shortened(repr(self.delimiter))}",
                "delimiter",
            )
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

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One for each target, in the order they are written. Raises `DataError` as `data` does."""
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
        """Inputs (n, width), float32; a target a task (n,): float32 for regression, else int64."""
        encoded = self._encoded()
        return TensorData(encoded.inputs[check_split(split)], encoded.targets[split])

    def _encoded(self) -> _Encoded:
        try:
            stamp = file_stamp(self.path)
        except OSError as error:
            raise DataError(
                f"the table {self.path} cannot be read: {error.strerror}. Set problem.path to a CSV file with a "
                "header; a relative path begins at the folder of the spec."
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

    inputs: Mapping[Split, Tensor]
    targets: Mapping[Split, dict[str, Tensor]]
    tasks: tuple[Task, ...]


@functools.lru_cache(maxsize=2)
def _encode(key: _Key, changed: tuple[int, int]) -> _Encoded:
    """All splits. Kept until other tables are read, or this one has changed."""
    problem = key.problem
    table = read_columns(problem.path, delimiter=problem.delimiter)
    _check_columns(problem, table)
    kept = labeled(table, problem.targets, problem.missing, problem.missing_targets, problem.path)
    table = {name: column.take(kept) for name, column in table.items()}
    _check_numbers(problem, table, kept)
    rows = split_rows(table, problem.split, problem.fractions, problem.seed, problem.path)
    parts = {split: {name: column.take(chosen) for name, column in table.items()} for split, chosen in rows.items()}
    inputs = _inputs(problem, table, parts, {split: kept[chosen] for split, chosen in rows.items()})
    made = targets_of(
        table, problem.targets, rows["train"], problem.path, standardize=problem.standardize_targets,
        missing=problem.missing,
    )  # fmt: skip
    for name, target in made.items():
        if target.categories:
            _check_learned(problem, name, {split: part[name] for split, part in parts.items()})
    targets = {split: {t.task.target_key: t.values[chosen] for t in made.values()} for split, chosen in rows.items()}
    return _Encoded(inputs, targets, tuple(target.task for target in made.values()))


def _check_columns(problem: CSV, table: Mapping[str, Column]) -> None:
    """Every column that the spec names is there, all that are not are told at once."""
    named = [*problem.targets, *problem.numeric, *problem.categorical, *problem.ignore]
    named += [] if problem.split is None else [problem.split]
    check_columns(table, named, problem.path)
    if not _input_names(problem, table):
        raise DataError(f"{problem.path} has no column left for an input: all are targets, split or ignored")


def _input_names(problem: CSV, table: Mapping[str, Column]) -> list[str]:
    taken = {*problem.targets, *problem.ignore, problem.split}
    return [name for name in table if name not in taken]


def _check_numbers(problem: CSV, table: Mapping[str, Column], kept: npt.NDArray[np.int64]) -> None:
    """What is to be a number is one; `kept` says which rows of the file those of `table` are."""
    regression = [name for name, kind in problem.targets.items() if kind == "regression"]
    for name in (*_numeric(problem, table), *regression):
        try:
            table[name].numbers(problem.missing, kept)
        except DataError as error:
            raise DataError(f"{problem.path}: {error}") from None


def _numeric(problem: CSV, table: Mapping[str, Column]) -> list[str]:
    """The columns of inputs that are numbers."""
    return [
        name
        for name in _input_names(problem, table)
        if name in problem.numeric or (name not in problem.categorical and table[name].is_numeric(problem.missing))
    ]


def _inputs(
    problem: CSV,
    table: Mapping[str, Column],
    parts: Mapping[Split, Mapping[str, Column]],
    rows: Mapping[Split, npt.NDArray[np.int64]],
) -> dict[Split, Tensor]:
    """Numbers, marks of missing numbers, one-hot categories; `rows` says which rows of the file those of a part are."""
    numeric = _numeric(problem, table)
    others = [name for name in _input_names(problem, table) if name not in numeric]
    categories = {name: _categories(problem, parts["train"][name]) for name in others}
    numbers = {
        split: _stacked([part[name].numbers(problem.missing) for name in numeric]) for split, part in parts.items()
    }
    made: dict[Split, Tensor] = {}
    if numeric:
        standardization = Standardization.of(numbers["train"])
        marked = np.isnan(numbers["train"]).any(axis=0)
    for split, part in parts.items():
        blocks = []
        if numeric:
            marks = torch.from_numpy(np.isnan(numbers[split][:, marked])).float()
            standard = standardization(numbers[split])
            try:
                check_reach(standard, numeric, rows[split])
            except DataError as error:
                raise DataError(f"{problem.path}: {error}") from None
            blocks += [standard, marks]
        if categories:
            codes = torch.stack([part[name].positions(known) for name, known in categories.items()], dim=1)
            blocks.append(one_hot(codes, [len(known) for known in categories.values()]))
        made[split] = torch.cat(blocks, dim=1)
    if made["train"].shape[1] == 0:
        raise DataError(f"{problem.path}: every input is missing in all training rows")
    return made


def _stacked(columns: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    return np.stack(columns, axis=1) if columns else np.empty((0, 0))


def _categories(problem: CSV, train: Column) -> tuple[str, ...]:
    known = in_order(value for value in train.values if value not in problem.missing)
    if len(known) > problem.max_categories:
        raise DataError(
            f"{problem.path}: column '{train.name}' has {len(known)} different values in {len(train)} training rows, "
            f"such as '{shortened(known[0])}' and '{shortened(known[-1])}', too many for categories; put it into "
            f"`ignore`, or raise max_categories ({problem.max_categories})"
        )
    return known


def _check_learned(problem: CSV, name: str, parts: Mapping[Split, Column]) -> None:
    """The classes of the training rows must be all there are."""
    known = {*parts["train"].values, *problem.missing}
    for split in SPLITS[1:]:
        new = [value for value in parts[split].values if value not in known]
        if new:
            raise DataError(
                f"{problem.path}: target '{name}' has the class '{shortened(new[0])}' in {split}, but not in the "
                "training rows: move such rows to train, leave them out of the file, or choose another seed"
            )
