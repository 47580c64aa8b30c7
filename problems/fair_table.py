"""What `adult` and `german_credit` have in common: a decision about people, and how groups of them are decided on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, final

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
from moframework.data.table import Column, Standardization, in_order
from moframework.losses import BinaryCrossEntropy
from moframework.metrics import F1, Accuracy
from moframework.predicting.table import CategoryColumn, NumberColumn, TableReader
from moframework.problem import Problem
from moframework.problem.group_fairness import Criterion, Groups, fairness_task, group_notes
from moframework.problem.task import Task

__all__ = ["FairTable", "People", "reader_of"]

Rows = Mapping[Split, npt.NDArray[np.int64]]


@frozen(eq=False)
class People:
    """A table of people as tensors."""

    inputs: Tensor
    """(n, width), float32."""
    labels: Tensor
    """(n,), int64: the decision that would be right, 0 or 1."""
    groups: Groups
    rows: Rows
    """Which are in which split."""
    reader: TableReader | None = None
    """What makes these inputs of rows of the file; None where they depend on all rows."""


@config
class FairTable(Problem):
    """Decide about people, and treat groups of them alike: two objectives on one output."""

    decision: ClassVar[str]
    """The task that is decided on."""
    decisions: ClassVar[tuple[str, str]]
    """What class 0 and class 1 are called."""

    root: Path | None = option(
        None, help="folder that has the files in a folder of theirs; none: MOFRAMEWORK_DATA, else in the user's cache"
    )
    criterion: Criterion = option(
        "equal_opportunity",
        help="what should be alike in all groups: the rate of decisions for class 1 (demographic_parity), that among "
        "those of class 1 (equal_opportunity), or that among those of class 1 and of class 0 (equalized_odds)",
    )
    form: Literal["means", "published"] = option(
        "means", help="of the gap: of mean chances, or as the code of COSMOS has it; see the loss equal_opportunity"
    )
    group_is_input: bool = option(False, help="the network is told the group")
    seed: int = option(0, ge=0, lt=2**32, help="of the draw of rows, where no file or paper says which are which")

    def __attrs_post_init__(self) -> None:
        if self.form == "published" and self.criterion == "equalized_odds":
            raise OptionError("form: published is not known of equalized_odds", "form")

    @property
    @abstractmethod
    def group_names(self) -> tuple[str, ...]:
        """The groups that are compared, in order."""

    @abstractmethod
    def people(self) -> People:
        """The whole table; kept until its files change.

        Raises:
            DataError: a file is missing or not what it should be.
        """

    @final
    @property
    def tasks(self) -> tuple[Task, ...]:
        """The decision, and the gap on the same output."""
        first = Task(name=self.decision, loss=BinaryCrossEntropy(), metrics=(Accuracy(), F1()))
        published = self.form == "published"
        return first, fairness_task(self.criterion, self.criterion, first, len(self.group_names), published=published)

    @final
    @property
    def network(self) -> Backbone:
        """Hidden layers of 60 and 25, as in COSMOS."""
        return MLP(hidden=(60, 25))

    @final
    @property
    def reference(self) -> tuple[float, ...]:
        """(1, 1): guessing costs ln 2 = 0.69 nats, and no gap is larger."""
        return (1.0, 1.0)

    @final
    @property
    def input_shape(self) -> tuple[int, ...]:
        """(width,). Raises `DataError` as `data` does."""
        return (self.people().inputs.shape[1],)

    @final
    def data(self, split: Split) -> TensorData:
        """Inputs (n, width), float32; the decision (n,), and of the criterion (n, 2), label and group, int64."""
        people = self.people()
        rows = torch.from_numpy(people.rows[check_split(split)])
        labels, groups = people.labels[rows], people.groups.codes[rows]
        return TensorData(
            people.inputs[rows], {self.decision: labels, self.criterion: torch.stack([labels, groups], dim=1)}
        )

    @final
    @property
    def reader(self) -> TableReader | None:
        """What makes inputs of further rows of the file. Raises `DataError` as `data` does."""
        return self.people().reader

    @final
    @property
    def class_names(self) -> Mapping[str, tuple[str, ...]]:
        """What the decision is between."""
        return {self.decision: self.decisions}

    @final
    @property
    def notes(self) -> tuple[str, ...]:
        """The groups, and those with few samples in a split. Raises `DataError` as `data` does."""
        people = self.people()
        return tuple(group_notes(self.tasks[1], people.labels, people.groups, people.rows))

    @final
    def stamps(self, files: Sequence[Path]) -> tuple[tuple[Path, tuple[int, int]], ...]:
        """By which what was read from files is kept until they change."""
        return tuple((file, file_stamp(file)) for file in files)


def reader_of(
    table: Mapping[str, Column], numeric: Sequence[str], categorical: Sequence[str], train: npt.NDArray[np.int64],
    *, missing: Sequence[str] = (), flags: Mapping[str, tuple[str, str]] | None = None, comment: str | None = None,
    delimiter: str = ",",
) -> TableReader:  # fmt: skip
    """What makes inputs of rows of a file that has no line with names: numbers standardized by the training rows,
    one-hot categories of these, and flags, side by side.

    Args:
        table: n rows of all columns, in the order of the file.
        numeric: columns of numbers.
        categorical: columns of categories.
        train: rows that are trained on.
        missing: cells that mean unknown; these, and categories that no training row has, are all zeros.
        flags: columns of two values, which are 0 and 1.
        comment, delimiter: of the file.
    """
    numbers = np.stack([table[name].numbers() for name in numeric], axis=1)
    by = Standardization.of(numbers[train])
    known = {name: in_order(v for v in table[name].take(train).values if v not in missing) for name in categorical}
    flags = {} if flags is None else flags
    return TableReader(
        numbers=tuple(
            NumberColumn(column=name, mean=float(mean), scale=float(scale))
            for name, mean, scale in zip(numeric, by.mean, by.scale, strict=True)
        ),
        categories=(
            *(CategoryColumn(column=name, categories=values) for name, values in known.items()),
            *(CategoryColumn(column=name, categories=(one,), zeros=(zero,)) for name, (zero, one) in flags.items()),
        ),
        others=tuple(name for name in table if name not in (*numeric, *categorical, *flags)),
        names=tuple(table),
        missing=tuple(missing),
        comment=comment,
        delimiter=delimiter,
    )
