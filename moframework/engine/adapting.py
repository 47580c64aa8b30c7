"""What an adaptive schedule learns in the course of a training, kept from step to step and in checkpoints."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor

from moframework.engine.loop import Hook, Loop
from moframework.preferences.adaptive import Adaptive
from moframework.seeding import derive_seed

__all__ = ["Adapting"]

# What tells the random numbers of adaptations from those of steps.
_ADAPTATION = 7


class Adapting(Hook):
    """Keeps preferences with their losses, on the device until they are read all at once, and lets the schedule adapt.

    All processes adapt alike: losses of a step are the same on all of them, bit for bit.
    """

    every_step = True

    def __init__(self, loop: Loop, schedule: Adaptive) -> None:
        self.schedule, self.learned = schedule, schedule.initial_state(loop.m)
        self.preferences = self.losses = torch.zeros(0, loop.m, dtype=torch.float64)
        self.unread: list[tuple[Tensor, Tensor]] = []

    def after_step(self, loop: Loop) -> None:
        self.unread.append((loop.preferences, loop.losses))
        if loop.done % self.schedule.every != 0:
            return
        self.read()
        if len(self.losses) >= self.schedule.pairs_at_least * loop.m > self.schedule.pairs_at_least:
            generator = Generator().manual_seed(derive_seed(loop.job.seed, _ADAPTATION, loop.done))
            self.learned = self.schedule.adapted(self.learned, self.preferences, self.losses, generator)
            loop.draw_by(partial(self.schedule.draw_adapted, self.learned))

    def read(self) -> None:
        """Read what is still on the device; pairs that are not finite, or without a label of a task, are left out."""
        if not self.unread:
            return
        preferences = torch.cat([each for each, _ in self.unread]).double()
        losses = torch.cat([each for _, each in self.unread]).double().cpu()
        self.unread.clear()
        whole = (losses.isfinite() & (losses != 0)).all(dim=1)
        last = -self.schedule.window
        self.preferences = torch.cat([self.preferences, preferences[whole]])[last:]
        self.losses = torch.cat([self.losses, losses[whole]])[last:]

    def state(self) -> dict[str, Any]:
        self.read()
        return {"schedule": {"learned": self.learned, "preferences": self.preferences, "losses": self.losses}}

    def load(self, loop: Loop, state: dict[str, Any]) -> None:
        if "schedule" not in state:  # of a version without adaptive schedules
            return
        own = state["schedule"]
        self.learned, self.preferences, self.losses = own["learned"], own["preferences"], own["losses"]
        loop.draw_by(partial(self.schedule.draw_adapted, self.learned))
