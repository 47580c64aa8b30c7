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
from moframework.data.table import Column, Standardization, in_order, one_hot
from moframework.losses import BinaryCrossEntropy
from moframework.metrics import F1, Accuracy
from moframework.problem import Problem
from moframework.problem.group_fairness import Criterion, Groups, fairness_task, group_notes
from moframework.problem.task import Task

__all__ = ["FairTable", "People", "encoded_columns"]

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


@config
class FairTable(Problem):
    """Decide about people, and treat groups of them alike: two objectives on one output."""

    decision: ClassVar[str]
    """The task that is decided on."""

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
    def notes(self) -> tuple[str, ...]:
        """The groups, and those with few samples in a split. Raises `DataError` as `data` does."""
        people = self.people()
        return tuple(group_notes(self.tasks[1], people.labels, people.groups, people.rows))

    @final
    def stamps(self, files: Sequence[Path]) -> tuple[tuple[Path, tuple[int, int]], ...]:
        """By which what was read from files is kept until they change."""
        return tuple((file, file_stamp(file)) for file in files)


def encoded_columns(
    table: Mapping[str, Column], numeric: Sequence[str], categorical: Sequence[str], train: npt.NDArray[np.int64],
    missing: Sequence[str] = (),
) -> Tensor:  # fmt: skip
    """Numbers standardized by the training rows, and one-hot categories of these, side by side, (n, width), float32.

    Args:
        table: n rows.
        numeric: columns of numbers.
        categorical: columns of categories.
        train: rows that are trained on.
        missing: cells that mean unknown; these, and categories that no training row has, are all zeros.
    """
    numbers = np.stack([table[name].numbers() for name in numeric], axis=1)
    known = {name: in_order(v for v in table[name].take(train).values if v not in missing) for name in categorical}
    codes = torch.stack([table[name].positions(known[name]) for name in categorical], dim=1)
    standard = Standardization.of(numbers[train])(numbers)
    return torch.cat([standard, one_hot(codes, [len(categories) for categories in known.values()])], dim=1)
