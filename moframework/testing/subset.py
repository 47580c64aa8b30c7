"""A problem with the first few samples of each split, so that any problem trains in milliseconds."""

from __future__ import annotations

import json
from collections.abc import Sized
from typing import cast

import torch

from moframework._moved import renamed
from moframework.config import config, option, unstructure
from moframework.data import Split, TensorData, batches
from moframework.problem import Problem, ProblemWrapper

__all__ = ["Subset"]


@config
class Subset(ProblemWrapper):
    """Another problem, unchanged but for its data: the first few samples of each split, in memory.

    They are read once in the life of the process. In a spec:
    `problem: {python: moframework.testing:Subset, problem: digits, samples: 16}`.
    """

    problem: Problem = option(help="the problem")
    samples: int = option(16, ge=1, help="samples of each split, at most")

    @property
    def wrapped(self) -> Problem:
        """The problem."""
        return self.problem

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
