"""One backward pass through the graphs of all preferences of a divided batch.

Together they are as large as one of the whole batch. θ(λ) of all is then made at once, and gradients come back in one
go: with small networks a step spends as much on launching operations as on computing them.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from moframework.engine.acceleration.base import Acceleration
from moframework.engine.settings import Training
from moframework.engine.step import Step

__all__ = ["OneGraph"]

# For larger networks, weights of all preferences are not worth the memory.
_WEIGHTS_BYTES = 64 * 2**20


class OneGraph(Acceleration):
    """Lets the preferences of a divided batch go backward together."""

    does: ClassVar[str] = "all preferences of a divided batch go backward together"

    @classmethod
    def declines(cls, step: Step, training: Training) -> str | None:
        """See `Acceleration.declines`."""
        if step.joined:
            return "the objective joins the preferences anyway"
        if step.method.preferences.batch != "split":
            return "each preference sees the whole batch: one graph at a time is held"
        if step.per_task:
            return "gradients of single tasks are needed"
        if len(step.objective_states):
            return "the objective has a state for each preference"
        m = len(step.tasks)
        if step.method.preferences.count(m) * _size(step, m) > _WEIGHTS_BYTES:
            return "weights of all preferences would take more than 64 MiB"
        return None

    def __init__(self, step: Step, training: Training) -> None:
        step.joined = True


@torch.no_grad()
def _size(step: Step, m: int) -> int:
    """Bytes of one θ(λ)."""
    return sum(p.numel() * p.element_size() for p in step.model.weights(torch.full((m,), 1 / m)).values())
