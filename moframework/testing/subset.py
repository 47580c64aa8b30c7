"""A problem with the first few samples of each split, so that any problem trains in milliseconds."""

from __future__ import annotations

import json

from moframework._moved import renamed
from moframework.config import config, option, unstructure
from moframework.data import Split, TensorData, batches, sample_rows
from moframework.problem import Problem, WrappedProblem

__all__ = ["Subset"]


@config
class Subset(WrappedProblem):
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
        """The first samples of a split; of several data sets in one evenly spread ones.

        Raises:
            DataError: as the problem does.
        """
        key = (json.dumps(unstructure(self)), split)
        if key not in _READ:
            data = self.problem.data(split)
            rows = sample_rows(data, self.samples)
            _READ[key] = TensorData(*next(batches(data, len(rows), order=rows, device="cpu")))
        return _READ[key]


_READ: dict[tuple[str, str], TensorData] = {}

__getattr__ = renamed(__name__, {"Few": "Subset"})
