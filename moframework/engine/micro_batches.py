"""Gradient accumulation: a batch goes through the network in parts, of which only one's activations are held.

A loss is made of statistics that add up over samples, so the losses of a batch are known before anything goes backward:
every part goes forward once for its statistics and once more, in a checkpoint, when the objective's gradient comes
back. So losses, balancings, objectives and gradients are those of the whole batch to rounding, whatever they are, and
however many labels each part has. What sees a part and not the batch are BatchNorm layers and random layers.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from moframework.engine.acceleration.activation_checkpoint import checkpointed
from moframework.engine.step import Batch, Step
from moframework.inputs.trees import Tree

__all__ = ["MicroBatches"]


class MicroBatches:
    """Stands for `Step.losses_by_task`.

    Args:
        step: of which every batch, or its part for a preference, is divided.
        count: into so many parts, or as many as there are samples; their sizes differ by one at most.
    """

    def __init__(self, step: Step, count: int) -> None:
        self.step, self.count = step, count
        step.losses_by_task = self  # type: ignore[method-assign]

    def __call__(self, theta: dict[str, Tensor], x: Tree, targets: dict[str, Tensor]) -> list[Tensor]:
        """As `Step.losses_by_task`."""
        step, count = self.step, max(1, min(self.count, *(len(target) for target in targets.values())))
        parts = Batch(x, targets, count, split=True).parts(range(count))
        found = [checkpointed(partial(self._sums, theta, *part), step.model) for part in parts]
        sums = [torch.stack(of_task).sum(dim=0) for of_task in zip(*found, strict=True)]
        totals = step.partition.reduce_statistics(sums, apart=step.per_task)
        return [loss.finish(total) for loss, total in zip(step.minimized, totals, strict=True)]

    def _sums(self, theta: dict[str, Tensor], x: Tree, targets: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """The summed statistics of each task; apart, so that a task's gradient reaches what the task does."""
        given = self.step.given(self.step.outputs(theta, x), targets)
        return tuple(loss.statistics(output, target).sum(dim=0) for loss, output, target in given)
