"""`Adaptive`: schedules that learn from the losses so far where preferences are needed."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
import torch
from torch import Generator, Tensor

from moframework.config import config, option
from moframework.preferences.base import Schedule, check_draw
from moframework.preferences.sampling import Array, log_dirichlet, simplex
from moframework.preferences.simplex import even, inset

__all__ = ["Adaptive", "arrays"]

State = dict[str, Tensor]


@config
class Adaptive(Schedule):
    """A schedule that every so many steps moves the preferences it draws, by the losses that others had.

    It is pure all the same: what it has learned is a dict of tensors on the CPU that the engine keeps, saves and hands
    back, and what it draws depends on that, its options and the arguments alone. So a resumed training draws what an
    uninterrupted one would have drawn, and all processes draw the same.

    Class data:
        pairs_at_least: preferences with losses that `adapted` needs, for each task.
    """

    pairs_at_least: ClassVar[int] = 4
    points: int = option(16, ge=2, le=200, help="preferences that are adapted; no fewer than tasks are kept")
    every: int = option(50, ge=1, help="steps from one adaptation to the next")
    window: int = option(512, ge=16, le=10_000, help="preferences and their losses that it goes by, the latest ones")
    explore: float = option(0.2, ge=0, le=1, help="share of preferences that are drawn evenly from the whole simplex")
    margin: float = option(0.01, ge=0, lt=0.3, help="how far the points stay inside the border")

    def natural_count(self, m: int) -> int:
        """5; for one task 1."""
        return 1 if m == 1 else 5

    def kept(self, m: int) -> int:
        """How many points are adapted for m tasks."""
        return max(self.points, m)

    def initial_state(self, m: int) -> State:
        """The state before any loss is known, for m tasks: `points` (k, m), even on the simplex."""
        return {"points": inset(even(self.kept(m), m), self.margin)}

    @abstractmethod
    def adapted(self, state: State, preferences: Tensor, losses: Tensor, generator: Generator) -> State:
        """The state after more of the training.

        Args:
            state: as `initial_state` or this left it.
            preferences, losses: (n, m) both, float64, on the CPU, of the latest steps, each finite and of a batch with
                labels of all tasks; n is at least `pairs_at_least` times m, and at most `window`.
            generator: source of all randomness; on the CPU.
        """

    @abstractmethod
    def draw_points(self, state: State, count: int, generator: Generator) -> Tensor:
        """Preferences (count, m) at and around the points of a state, float64, rows on the simplex."""

    def draw_adapted(self, state: State, progress: float, count: int, m: int, generator: Generator) -> Tensor:
        """As `Schedule.draw`, by what a state has learned."""
        check_draw(progress, count, m)
        if m == 1:
            return torch.ones(count, 1)
        near = self.draw_points(state, count, generator).float()
        explores = torch.rand(count, 1, generator=generator) < self.explore
        return torch.where(explores, simplex(log_dirichlet(1.0, count, m, generator)), near)

    def draw(self, progress: float, count: int, m: int, generator: Generator) -> Tensor:
        """See `Schedule.draw`: as before any loss is known."""
        check_draw(progress, count, m)
        return self.draw_adapted(self.initial_state(m), progress, count, m, generator)


def arrays(*tensors: Tensor) -> tuple[Array, ...]:
    """Tensors as float64 arrays."""
    return tuple(np.asarray(each.double().numpy()) for each in tensors)
