"""The labels of each task: how many samples have one (not all must have all), what classes weigh, and units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from typing import Any, cast

import torch
from attrs import frozen
from torch import Tensor

from moframework.data import Dataset, Split
from moframework.data.loader import loaded_items
from moframework.errors import DataError
from moframework.problem.task import Task

__all__ = ["Labels", "check_labels", "count_labels", "label_lines", "unit_lines", "weight_lines"]

_CLASSES = 10  # whose weights a line tells
_LOADED = 64
"""Samples that are looked at, evenly spread, where targets are loaded with their inputs, which may be slow."""


@frozen
class Labels:
    """What was counted in one split.

    Attributes:
        samples: how many were looked at; 0 where that fails.
        of: how many the split has.
        counts: by task, those of `samples` with a label; one for which the target has a value at each position, such as
            a segmentation, is counted when any of it is known.
    """

    samples: int
    of: int
    counts: dict[str, int]

    def plain(self) -> dict[str, Any]:
        """As plain data, to be kept with a run."""
        return {"counted_in": self.samples, "by_task": dict(self.counts)}

    @property
    def complete(self) -> bool:
        """Whether each sample that was looked at has a label of every task."""
        return all(count == self.samples for count in self.counts.values())


def count_labels(tasks: Sequence[Task], data: Mapping[Split, Dataset]) -> dict[Split, Labels]:
    """The labels of each split: of all samples where the targets are in memory, else of 64.

    What is unknown says the task's loss (`Loss.known`): nan, or a class that it ignores.
    """
    return {split: _counted(tasks, samples) for split, samples in data.items()}


def check_labels(labels: Mapping[Split, Labels]) -> None:
    """Raise `DataError` where all samples of a split were looked at, and a task has no label there."""
    for split, found in labels.items():
        without = [task for task, count in found.counts.items() if not count and found.samples == found.of]
        if without:
            raise DataError(
                f"problem: no sample of the {split} split has a label of task '{without[0]}': all "
                f"{found.of:,} are unknown (empty, nan, or a class that the loss ignores). Give it some, divide the "
                "data otherwise, or leave the task out"
            )


def label_lines(labels: Mapping[Split, Labels]) -> list[str]:
    """For people: what each task has in each split; nothing where no label is missing."""
    if all(found.complete for found in labels.values()):
        return []
    tasks = next(iter(labels.values())).counts
    lines = [
        f"{task}: " + ", ".join(f"{split} {found.counts[task]:,}" for split, found in labels.items()) for task in tasks
    ]
    part = [f"{split} {found.samples:,}" for split, found in labels.items() if found.samples < found.of]
    return [*lines, f"counted in samples evenly spread: {', '.join(part)}"] if part else lines


def weight_lines(tasks: Sequence[Task]) -> list[str]:
    """For people: what the classes of each task weigh, where they differ."""
    lines = []
    for task in tasks:
        weights = task.loss.class_weights
        if weights is not None:
            shown = ", ".join(f"{value:.4g}" for value in weights[:_CLASSES])
            more = f" and {len(weights) - _CLASSES} more" if len(weights) > _CLASSES else ""
            lines.append(f"{task.name}: classes weigh {shown}{more}")
    return lines


def unit_lines(tasks: Sequence[Task]) -> list[str]:
    """For people: which metrics are in the target's own unit, where the loss is not."""
    lines = []
    for task in tasks:
        own = [metric.label for metric in task.metrics if metric.in_units]
        if task.is_standardized and own:
            lines.append(
                f"{task.name}: {', '.join(own)} in the target's own units; the loss is of the standardized target, "
                f"of which 1 is {task.deviation:.4g} and 0 is {task.mean:.4g}"
            )
    return lines


def _counted(tasks: Sequence[Task], data: Dataset) -> Labels:
    size = len(cast(Sized, data))
    in_memory = getattr(data, "targets", None)
    if isinstance(in_memory, Mapping) and all(_has(in_memory.get(task.target_key), size) for task in tasks):
        return Labels(size, size, {task.name: _known(task, in_memory[task.target_key]) for task in tasks})
    rows = torch.linspace(0, size - 1, min(size, _LOADED), dtype=torch.float64).round().long().tolist()
    counts = dict.fromkeys((task.name for task in tasks), 0)
    try:
        for row in rows:  # one by one: they may differ in size
            _, targets = loaded_items(data, [row])
            for task in tasks:
                counts[task.name] += _known(task, targets[task.target_key])
    except Exception:  # what is wrong with an item is told where it is used, with its place
        return Labels(0, size, dict.fromkeys(counts, 0))
    return Labels(len(rows), size, counts)


def _has(target: object, size: int) -> bool:
    return isinstance(target, Tensor) and len(target) == size


def _known(task: Task, target: Tensor) -> int:
    """How many samples of a target (n, ...) are known."""
    known = task.loss.known(target)
    return int(known.reshape(len(known), -1).any(dim=1).sum()) if known.dim() > 1 else int(known.sum())
