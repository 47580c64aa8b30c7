"""`Schedule`: how the preferences of a training step are drawn."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

from torch import Generator, Tensor

from moframework.config import Component, config, option

__all__ = ["Schedule", "check_draw"]


@config
class Schedule(Component, kind="schedules"):
    """How the preferences of each training step are drawn, and how many.

    A schedule keeps no state: what it draws depends on its options and on the arguments of `draw` alone, so that a
    resumed training draws what an uninterrupted one would have drawn. What learns from losses derives from
    `Adaptive` of `moframework.preferences.adaptive`.

    >>> import torch
    >>> from moframework.config import config
    >>> @config
    ... class Vertices(Schedule):
    ...     "The vertices of the simplex, in turn."
    ...     def natural_count(self, m):
    ...         return m
    ...     def draw(self, progress, count, m, generator):
    ...         return torch.eye(m)[torch.arange(count) % m]
    >>> Vertices(per_batch=3).draw(0.5, 3, 2, Generator()).tolist()
    [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    """

    per_batch: int | None = option(
        None, ge=1, le=1000, help="number M of preferences a step; none: the natural number of the schedule"
    )
    batch: Literal["shared", "split"] = option(
        "shared", help="shared: each preference sees the whole batch; split: the batch is divided among them"
    )

    @abstractmethod
    def natural_count(self, m: int) -> int:
        """The number of preferences a step for `m` tasks when the spec does not say."""

    @abstractmethod
    def draw(self, progress: float, count: int, m: int, generator: Generator) -> Tensor:
        """Preferences of one step.

        Args:
            progress: share of the training that is done when this step is, in (0, 1]; the last step has 1.
            count: how many, at least 1.
            m: number of tasks, at least 1.
            generator: source of all randomness; on the CPU. A schedule that needs none leaves it untouched.

        Returns:
            (count, m), float32, on the CPU; every row lies on the simplex to rounding.

        Raises:
            ValueError: an argument is out of range, or the schedule has no `count` preferences for `m` tasks.
        """

    def count(self, m: int) -> int:
        """How many preferences a step uses for `m` tasks: `per_batch`, or the natural number of the schedule."""
        return self.natural_count(m) if self.per_batch is None else self.per_batch


def check_draw(progress: float, count: int, m: int) -> None:
    """Refuse arguments of `Schedule.draw` that are out of range.

    Raises:
        ValueError: naming the argument and its value.
    """
    if not 0 < progress <= 1:
        raise ValueError(f"progress must be in (0, 1], but it is {progress}")
    if count < 1:
        raise ValueError(f"count must be at least 1, but it is {count}")
    if m < 1:
        raise ValueError(f"m, the number of tasks, must be at least 1, but it is {m}")
