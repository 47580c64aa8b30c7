"""Activation checkpointing: a preference's graph is forgotten after its forward pass and made again going backward.

It takes one more forward pass a preference for the memory of one graph, where otherwise those of all would be held
(`training.recompute`).

Source: Chen, Xu, Zhang, Guestrin, arXiv 1604.06174, as `torch.utils.checkpoint` has it.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from moframework.engine.acceleration.base import Acceleration
from moframework.engine.settings import Training
from moframework.engine.step import Batch, Step
from moframework.errors import SpecError

__all__ = ["ActivationCheckpoint", "checkpointed"]

T = TypeVar("T")


class ActivationCheckpoint(Acceleration):
    """Each preference's losses in a checkpoint of its own."""

    does: ClassVar[str] = "graphs are made again when going backward"
    joins = True

    @classmethod
    def declines(cls, step: Step, training: Training) -> str | None:
        if not training.recompute:
            return "training.recompute is false"
        if step.per_task:
            return "gradients of single tasks are needed, preference by preference"
        if not step.joined:
            return "each preference goes backward by itself: one graph is all that is held"
        if step.partition.shards_batch:
            raise SpecError(
                "training.recompute works with several processes only where each runs its preferences on the whole "
                "batch: set training.distributed.preferences to spread, or recompute to false"
            )
        return None

    def __init__(self, step: Step, training: Training) -> None:
        self.step = step
        step.forwards.append(self)

    def __call__(self, preferences: Tensor, batch: Batch, rows: range) -> Tensor:
        """See `Forward.__call__`; θ(λ) is made again too."""
        found = []
        for preference, part in zip(preferences, batch.parts(rows), strict=True):
            losses = partial(self.step.losses_of, preference.unsqueeze(0), [part])
            found.append(checkpointed(lambda losses=losses: losses()[0], self.step.model))  # type: ignore[misc]
        return torch.stack(found)


def checkpointed(run: Callable[[], T], model: nn.Module) -> T:
    """`run()`, of which nothing is held until something goes backward through it: then it is called again.

    The second call draws the same random numbers (dropout), in the same autocast, reads the buffers of `model` as the
    first one found them, and leaves no trace in them: running statistics move once.
    """
    calls = itertools.count()
    kept = _copies(model)

    def tracked() -> T:
        with _buffers_again(kept) if next(calls) else contextlib.nullcontext():
            return run()

    result: T = checkpoint(tracked, use_reentrant=False)
    return result


Kept = list[tuple[nn.Module, dict[str, Tensor | None]]]


def _copies(model: nn.Module) -> Kept:
    """The buffers of each module, as they are now."""
    return [
        (module, {name: None if value is None else value.clone() for name, value in module._buffers.items()})
        for module in model.modules()
        if module._buffers
    ]


@contextlib.contextmanager
def _buffers_again(kept: Kept) -> Iterator[None]:
    """While inside, modules have these buffers."""
    now = [(module, dict(module._buffers)) for module, _ in kept]
    for module, buffers in kept:
        module._buffers.update(buffers)
    try:
        yield
    finally:
        for module, buffers in now:
            module._buffers.update(buffers)
