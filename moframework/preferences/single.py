"""One fixed preference, the same at every step."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.preferences.base import Schedule, check_draw

__all__ = ["Single"]


@config
class Single(Schedule):
    """One fixed preference at every step; nothing is random. For single-point training, and to refine one operating
    point of a continuous solver.

    >>> Single(preference=(1, 3)).draw(0.5, 1, 2, Generator())
    tensor([[0.2500, 0.7500]])
    """

    preference: tuple[float, ...] | None = option(
        None, ge=0, help="the preference, a number a task, scaled to add up to 1; none: all tasks alike"
    )

    def __attrs_post_init__(self) -> None:
        if self.preference is not None and not 0 < sum(self.preference) < math.inf:
            raise OptionError(
                f"preference must be finite and not all zero, but it is {list(self.preference)}", "preference"
            )

    def natural_count(self, m: int) -> int:
        """1."""
        return 1

    def draw(self, progress: float, count: int, m: int, generator: Generator) -> Tensor:
        """See `Schedule.draw`: `count` times the same row. Raises ValueError unless there is a number a task.

        >>> Single(preference=(1, 3)).draw(0.5, 1, 2, torch.Generator())
        tensor([[0.2500, 0.7500]])
        """
        check_draw(progress, count, m)
        if self.preference is None:
            return torch.full((count, m), 1 / m)
        if len(self.preference) != m:
            raise ValueError(
                f"preference has {len(self.preference)} numbers, {list(self.preference)}, but there are {m} tasks"
            )
        row = torch.tensor(self.preference, dtype=torch.float64)
        return (row / row.sum()).float().repeat(count, 1)
