"""`Answer`: what the output of a task stands for."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moframework.config import config, option
from moframework.config.options import OptionError

__all__ = ["Answer", "AnswerKind"]

AnswerKind = Literal["classes", "binary", "numbers"]
"""What outputs are: a logit a class; one logit, of the second of two classes; or numbers."""


@config
class Answer:
    """What a task's output stands for, and how it is told.

    - `classes`: the column of the task's name has the class with the largest logit, the first of equal ones, and
      `task/class` the probability of each.
    - `binary`: likewise of two classes told by one logit; class 1 is told where the logit is above 0, and `task/class`
      has the probability of class 1 alone.
    - `numbers`: the column of the task's name has the number in the target's own unit; several are `task/0`, `task/1`.

    >>> answer = Answer(task="sold", output="sold", kind="binary", categories=("no", "yes"))
    >>> columns = answer.columns(torch.tensor([[2.0], [-2.0]]))
    >>> columns["sold"].tolist(), [round(float(p), 2) for p in columns["sold/yes"]]
    (['yes', 'no'], [0.88, 0.12])
    """

    task: str = option(help="name of the task")
    output: str = option(help="key of the network's output")
    kind: AnswerKind = option(help="what that is: classes, binary or numbers")
    categories: tuple[str, ...] = option((), help="names of the classes; none: they are numbered from 0")
    mean: float = option(0.0, help="of numbers: the value in their own unit that 0 stands for")
    deviation: float = option(1.0, gt=0, help="and what a difference of 1 is in their own unit")

    def __attrs_post_init__(self) -> None:
        for key, number in (("mean", self.mean), ("deviation", self.deviation)):
            if not math.isfinite(number):
                raise OptionError(f"{key} must be finite, but it is {number}", key)
        if len(set(self.categories)) < len(self.categories):
            raise OptionError("categories holds a class twice", "categories")
        if self.kind == "binary" and len(self.categories) not in (0, 2):
            raise OptionError(f"categories must be two, but are {len(self.categories)}", "categories")

    def columns(self, output: Tensor) -> dict[str, npt.NDArray[Any]]:
        """What the output says of each sample, by the name of its column.

        Args:
            output: raw, (n, ...), on any device.

        Returns:
            arrays (n, ...): text for named classes, else int64 or float32. Of maps, such as a class for each pixel,
            they have the dimensions of the map after the first.

        Raises:
            ValueError: the output has another number of classes than have names.
        """
        values = output.detach().float()
        if self.kind == "numbers":
            return self._numbers(values * self.deviation + self.mean)
        if self.kind == "binary":
            return self._binary(values)
        if self.categories and values.shape[1] != len(self.categories):
            raise ValueError(
                f"task '{self.task}' has {len(self.categories)} classes, but its output is {tuple(values.shape)}"
            )
        names = self.categories or tuple(str(i) for i in range(values.shape[1]))
        probabilities = torch.softmax(values, dim=1)
        return {
            self.task: self._named(values.argmax(dim=1)),
            **{f"{self.task}/{name}": _array(probabilities[:, i]) for i, name in enumerate(names)},
        }

    def _numbers(self, values: Tensor) -> dict[str, npt.NDArray[Any]]:
        if values.dim() == 1 or values.shape[1] == 1:
            return {self.task: _array(values if values.dim() == 1 else values.squeeze(1))}
        return {f"{self.task}/{i}": _array(values[:, i]) for i in range(values.shape[1])}

    def _binary(self, values: Tensor) -> dict[str, npt.NDArray[Any]]:
        if values.dim() > 1 and values.shape[1] > 1:  # several yes or no at once, which have no names
            return {f"{self.task}/{i}": _array(values[:, i].sigmoid()) for i in range(values.shape[1])}
        single = values if values.dim() == 1 else values.squeeze(1)
        yes = self.categories[1] if self.categories else "1"
        return {self.task: self._named((single > 0).long()), f"{self.task}/{yes}": _array(single.sigmoid())}

    def _named(self, codes: Tensor) -> npt.NDArray[Any]:
        return np.array(self.categories, dtype=object)[codes.cpu().numpy()] if self.categories else _array(codes)


def _array(values: Tensor) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = values.cpu().numpy()
    return found
