"""Losses and metrics of several preferences, added up over batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from moframework.engine.device import Placement
from moframework.problem.task import Task
from moframework.processes.world import World

if TYPE_CHECKING:
    import torchmetrics

__all__ = ["Accumulator"]

# Outputs are kept until they take this many bytes.
_KEPT_BYTES = 64 * 2**20


class Accumulator:
    """What n preferences lose, and score, on all batches given.

    Losses and metrics are taken of the outputs of many batches at once: they are dozens of small operations, which for
    small outputs cost more than the network.

    Args:
        tasks: the problem's.
        count: n.
        place: where outputs and targets are.
        metrics: take the tasks' metrics too, not only the losses.
    """

    def __init__(self, tasks: Sequence[Task], count: int, place: Placement, *, metrics: bool = True) -> None:
        self.tasks = tuple(tasks)
        self._exact = torch.float32 if place.device.type == "mps" else torch.float64  # MPS has no float64
        self._totals: list[list[Tensor | None]] = [[None] * len(self.tasks) for _ in range(count)]
        self._meters: list[list[list[torchmetrics.Metric]]] = [
            [[task.meter(metric).to(place.device) for metric in task.metrics] for task in tasks] if metrics else []
            for _ in range(count)
        ]
        self._keys = {task.output_key for task in self.tasks}
        self._outputs: list[list[tuple[int, Mapping[str, Tensor]]]] = [[] for _ in range(count)]
        self._targets: dict[int, Mapping[str, Tensor]] = {}
        self._bytes, self._batch = 0, 0

    def begin(self, targets: Mapping[str, Tensor]) -> None:
        """The outputs that follow are held against these targets."""
        self._batch += 1
        self._targets[self._batch] = targets

    def add(self, j: int, outputs: Mapping[str, Tensor]) -> None:
        """Take in what preference j makes of the batch."""
        kept = {key: outputs[key] for key in self._keys}
        self._outputs[j].append((self._batch, kept))
        self._bytes += sum(value.numel() * value.element_size() for value in kept.values())
        if self._bytes >= _KEPT_BYTES:
            self._flush()

    def losses(self, world: World) -> Tensor:
        """Losses (n, m) over all processes of the world.

        Raises:
            ValueError: no batch was given.
        """
        self._flush()
        sums = iter(world.all_reduce_sum([_present(total) for row in self._totals for total in row]))
        return torch.stack([torch.stack([task.loss.finish(next(sums)) for task in self.tasks]) for _ in self._totals])

    def metrics(self, world: World) -> dict[str, np.ndarray]:
        """By `task/metric`, a number for each preference, over all processes of the world."""
        self._flush()
        return {
            f"{task.name}/{metric.label}": np.array([_computed(row[t][k], world) for row in self._meters])
            for t, task in enumerate(self.tasks)
            for k, metric in enumerate(task.metrics)
            if self._meters[0]
        }

    def _flush(self) -> None:
        targets: dict[tuple[str, tuple[int, ...]], Tensor] = {}
        for j, parts in enumerate(self._outputs):
            if not parts:
                continue
            numbers = tuple(number for number, _ in parts)
            outputs = {key: _concatenated([part[key] for _, part in parts]) for key in self._keys}
            for t, task in enumerate(self.tasks):
                at = (task.target_key, numbers)
                if at not in targets:
                    targets[at] = _concatenated([self._targets[number][task.target_key] for number in numbers])
                self._update(j, t, outputs[task.output_key], targets[at])
            parts.clear()
        self._targets = {self._batch: self._targets[self._batch]} if self._targets else {}
        self._bytes = 0

    def _update(self, j: int, t: int, output: Tensor, target: Tensor) -> None:
        value = self.tasks[t].loss.statistics(output, target).sum(dim=0, dtype=self._exact)
        before = self._totals[j][t]
        self._totals[j][t] = value if before is None else before + value
        for meter in self._meters[j][t] if self._meters[j] else ():
            meter.update(output, target)


def _concatenated(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _computed(meter: torchmetrics.Metric, world: World) -> float:
    """The value over all processes of the world, and no others: torchmetrics asks all that it finds."""
    for part in meter.modules():
        setattr(part, "sync_on_compute", world.size > 1)  # noqa: B010 (torch types attributes of modules as tensors)
    return float(meter.compute())


def _present(total: Tensor | None) -> Tensor:
    if total is None:
        raise ValueError("the data has no samples")
    return total
