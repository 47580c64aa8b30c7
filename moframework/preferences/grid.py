"""The fixed even grid: the same preferences at every step."""

from __future__ import annotations

from torch import Generator, Tensor

from moframework.config import config, option
from moframework.preferences.base import Schedule, check_draw
from moframework.preferences.simplex import even, inset

__all__ = ["Grid"]


@config
class Grid(Schedule):
    """The same even set of preferences at every step; nothing is random. See `simplex.even` for the construction.

    >>> Grid(margin=0.1).draw(0.5, 3, 2, Generator())
    tensor([[0.1000, 0.9000],
            [0.5000, 0.5000],
            [0.9000, 0.1000]])
    """

    margin: float = option(
        0.0, ge=0, lt=0.3, help="how far the grid stays inside the border (beyond three tasks 3/m times that)"
    )

    def natural_count(self, m: int) -> int:
        """5 for two tasks, 6 for three, else the vertices and the center: m + 1; for one task 1."""
        return {1: 1, 2: 5, 3: 6}.get(m, m + 1)

    def points(self, count: int, m: int) -> Tensor:
        """The grid itself: (count, m), float32; for two tasks in ascending order of the first weight.

        Raises:
            ValueError: more than one point, but fewer than tasks.

        >>> Grid(margin=0.1).points(3, 2)
        tensor([[0.1000, 0.9000],
                [0.5000, 0.5000],
                [0.9000, 0.1000]])
        """
        return inset(even(count, m), self.margin).float()

    def draw(self, progress: float, count: int, m: int, generator: Generator) -> Tensor:
        """See `Schedule.draw`: `points`, at every step."""
        check_draw(progress, count, m)
        return self.points(count, m)
