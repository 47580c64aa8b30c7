"""A problem with the first few samples of each split, so that any problem trains in milliseconds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sized
from typing import cast

import numpy as np
import numpy.typing as npt
import torch

from moframework._moved import renamed
from moframework.augmentations import Augmentation, MapKind
from moframework.backbones.base import Backbone
from moframework.config import config, option, unstructure
from moframework.data import Split, TensorData, batches
from moframework.problem import Problem
from moframework.problem.task import Task

__all__ = ["Subset"]


@config
class Subset(Problem):
    """Another problem, unchanged but for its data: the first few samples of each split, in memory.

    They are read once in the life of the process. In a spec:
    `problem: {python: moframework.testing:Subset, problem: digits, samples: 16}`.
    """

    problem: Problem = option(help="the problem")
    samples: int = option(16, ge=1, help="samples of each split, at most")

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The problem's."""
        return self.problem.tasks

    @property
    def network(self) -> Backbone:
        """The problem's."""
        return self.problem.network

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The problem's."""
        return self.problem.input_shape

    @property
    def maps(self) -> Mapping[str, MapKind]:
        """The problem's."""
        return self.problem.maps

    @property
    def augmentation(self) -> tuple[Augmentation, ...]:
        """The problem's."""
        return self.problem.augmentation

    @property
    def reference(self) -> tuple[float, ...] | None:
        """The problem's."""
        return self.problem.reference

    @property
    def true_front(self) -> npt.NDArray[np.float64] | None:
        """The problem's."""
        return self.problem.true_front

    def data(self, split: Split) -> TensorData:
        """The first samples of a split. Raises `DataError` as the problem does."""
        key = (json.dumps(unstructure(self)), split)
        if key not in _READ:
            data = self.problem.data(split)
            count = min(self.samples, len(cast(Sized, data)))
            _READ[key] = TensorData(*next(batches(data, count, order=torch.arange(count), device="cpu")))
        return _READ[key]


_READ: dict[tuple[str, str], TensorData] = {}

__getattr__ = renamed(__name__, {"Few": "Subset"})
