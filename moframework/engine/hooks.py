"""What happens after every training step: whether to stop, what compiling took, losses. The others: `milestones`."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from moframework.engine.events import Reading
from moframework.engine.loop import Hook, Loop
from moframework.objectives.presence import mean_of_present

__all__ = ["CompileTime", "Entry", "LossLog", "Stop"]

Entry = tuple[int, Tensor, Tensor]
"""A step's number, from 1; its losses (M, m); its preferences (M, m)."""


class Stop(Hook):
    """Asks after every step whether to stop; any process's wish counts."""

    every_step = True

    def __init__(self, wished: Callable[[], bool]) -> None:
        self.wished = wished

    def after_step(self, loop: Loop) -> None:
        loop.stopping = loop.world.any_rank(self.wished())


class CompileTime(Hook):
    """Takes the first step of this process for what compiling took, and leaves it out of the clock."""

    every_step = True

    def after_step(self, loop: Loop) -> None:
        if loop.compile_seconds is not None:
            return
        if loop.job.place.device.type == "cuda":
            torch.cuda.synchronize(loop.job.place.device)
        loop.compile_seconds = time.perf_counter() - loop.began
        loop.clock.restart()


class LossLog(Hook):
    """Keeps the losses of steps on the device until they are read all at once, and tells them."""

    every_step = True

    def __init__(self, loop: Loop) -> None:
        self.tasks = [task.name for task in loop.job.problem.tasks]
        self.entries = list[Entry]()

    def after_step(self, loop: Loop) -> None:
        self.entries.append((loop.done, loop.losses, loop.preferences))
        if loop.done % loop.training.log_every == 0 or loop.at_epoch_end or loop.at_end or loop.stopping:
            self.flush(loop)

    def flush(self, loop: Loop) -> None:
        """Read the losses since the last reading, and tell them."""
        if not self.entries:
            return
        losses = torch.stack([losses for _, losses, _ in self.entries]).double().cpu()
        if not bool(torch.isfinite(losses).all()):
            losses = loop.job.on_nonfinite.losses(loop, self.entries, losses)
        seconds, preferences = loop.clock.lap() / len(self.entries), self.entries[-1][2]
        self.entries.clear()
        if not len(losses):
            return
        groups = loop.optimizer.param_groups
        reading = Reading(
            losses=dict(zip(self.tasks, mean_of_present(losses).tolist(), strict=True)),
            learning_rates={str(group.get("name", i)): float(group["lr"]) for i, group in enumerate(groups)},
            preferences=preferences.double().numpy(),
            seconds_per_step=seconds,
        )
        loop.observer.logged(loop.progress, reading)
        loop.clock.restart()
