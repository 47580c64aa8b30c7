"""`torch.compile` runs what leads from preferences to losses (`training.compile`)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor

from moframework.engine.acceleration.base import Acceleration
from moframework.engine.settings import Training
from moframework.engine.step import Batch, Step, stacked
from moframework.model.inner_checkpoints import without_checkpoints

__all__ = ["Compiled", "uncompiled"]


class Compiled(Acceleration):
    """From θ(λ) to the losses in one function; where gradients of single tasks are needed, a graph is made again, or
    several processes share a step, only the network is compiled."""

    does: ClassVar[str] = "torch.compile runs a step from θ(λ) to the losses"
    joins = False

    @classmethod
    def declines(cls, step: Step, training: Training) -> str | None:
        if not training.compile:
            return "training.compile is false"
        step.model.network.check_compiles()
        return None

    def __init__(self, step: Step, training: Training) -> None:
        # Recording is ours, of more than what is compiled.
        mode = None if training.compile is True else f"{training.compile}-no-cudagraphs"
        step.model.network.compile(mode)
        if step.per_task or training.recompute or step.partition.shared:
            return
        self._losses_of = torch.compile(step.losses_of, mode=mode)
        step.forwards.append(self)

    def __call__(self, preferences: Tensor, batch: Batch, rows: range) -> Tensor:
        with without_checkpoints():  # those that are compiled stay
            return stacked(self._losses_of(preferences, batch.parts(rows)))


@contextlib.contextmanager
def uncompiled(step: Step) -> Iterator[None]:
    """While inside, nothing of a step is compiled."""
    forwards = step.forwards
    step.replace_forwards([forward for forward in forwards if not isinstance(forward, Compiled)])
    try:
        with step.model.network.uncompiled():
            yield
    finally:
        step.replace_forwards(forwards)
