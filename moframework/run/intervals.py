"""Bootstrap intervals of losses and metrics at one preference, over the samples of a split."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sized
from typing import cast

import numpy as np
import torch
from attrs import field, frozen
from numpy.typing import NDArray
from torch import Tensor

from moframework.data import Dataset, batches
from moframework.problem import Problem
from moframework.problem.task import Task
from moframework.run.evaluating import Trained

__all__ = ["LEVEL", "Interval", "intervals"]

Array = NDArray[np.float64]
Interval = tuple[float, float]

LEVEL = 0.95
_DRAWS = 1000
_METRIC_DRAWS = 200  # each computes the metric anew
_KEPT_BYTES = 256 * 2**20
_INDICES = 2**22  # drawn at a time


def intervals(trained: Trained, preference: Tensor, data: Dataset) -> dict[str, Interval]:
    """Where losses and metrics would lie on other samples like these, 95 % of the time, by column.

    Percentiles of the bootstrap: samples are drawn with replacement, as many as there are. Losses are finished from the
    sums of the samples' statistics; metrics are computed anew from the outputs drawn. Chance is seeded.

    Args:
        preference: λ (m,), on the simplex.
        data: the split; read once.

    Returns:
        `TASK/loss` of every task, and the metrics that are numbers in nearly all draws. Metrics are left out where
        outputs and targets take more than 256 MiB, as maps of whole images may.
    """
    kept = _Kept.of(trained, preference, data)
    found = {}
    for task, statistics in zip(trained.problem.tasks, kept.statistics, strict=True):
        finished = task.loss.finish(torch.from_numpy(_drawn_sums(statistics)))
        found[f"{task.name}/loss"] = _percentiles(finished.double().numpy())
    found |= dict(_of_metrics(trained.problem, kept))
    return {name: interval for name, interval in found.items() if interval is not None}


@frozen
class _Kept:
    """Statistics of every sample (n, k), a task each, and outputs and targets where they are not too large."""

    statistics: list[Array] = field(factory=list)
    outputs: dict[str, Tensor] = field(factory=dict)
    targets: dict[str, Tensor] = field(factory=dict)

    @classmethod
    @torch.no_grad()
    def of(cls, trained: Trained, preference: Tensor, data: Dataset) -> _Kept:
        tasks, place = trained.problem.tasks, trained.place
        theta = trained.weights(preference)
        statistics: list[list[Tensor]] = [[] for _ in tasks]
        parts: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
        size, total, fits = len(cast(Sized, data)), 0, any(task.metrics for task in tasks)
        trained.model.eval()
        for x, targets in batches(data, trained.evaluator.batch_size, order=None, device=place.device):
            with place.autocast():
                outputs = trained.model.call(theta, place.arranged(x))
            for task, mine in zip(tasks, statistics, strict=True):
                mine.append(task.loss.statistics(outputs[task.output_key], targets[task.target_key]).cpu().double())
            if not fits:
                continue
            parts.append(_needed(tasks, outputs, targets))
            total += sum(value.numel() * value.element_size() for one in parts[-1] for value in one.values())
            if total * size > _KEPT_BYTES * sum(map(len, statistics[0])):
                fits = False
                parts.clear()
        found = [torch.cat(mine).numpy() for mine in statistics]
        if not fits:
            return cls(found)
        gathered = [{key: torch.cat([part[k][key] for part in parts]) for key in parts[0][k]} for k in (0, 1)]
        return cls(found, *gathered)


def _needed(
    tasks: tuple[Task, ...], outputs: dict[str, Tensor], targets: dict[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Outputs and targets that metrics read, on the host."""
    measured = [task for task in tasks if task.metrics]
    return (
        {task.output_key: outputs[task.output_key].cpu() for task in measured},
        {task.target_key: targets[task.target_key].cpu() for task in measured},
    )


def _drawn_sums(statistics: Array) -> Array:
    """Sums (draws, k) of statistics (n, k) over samples drawn with replacement."""
    generator, n = np.random.default_rng(0), len(statistics)
    sums = []
    for draws in np.array_split(np.arange(_DRAWS), max(1, -(-_DRAWS * n // _INDICES))):
        counts = [np.bincount(rows, minlength=n) for rows in generator.integers(0, n, (len(draws), n))]
        if counts:
            sums.append(np.stack(counts) @ statistics)
    return np.concatenate(sums)


def _of_metrics(problem: Problem, kept: _Kept) -> Iterator[tuple[str, Interval | None]]:
    for task in problem.tasks if kept.outputs else ():
        output, target = kept.outputs[task.output_key], kept.targets[task.target_key]
        for metric in task.metrics:
            values, generator = [], torch.Generator().manual_seed(0)
            for _ in range(_METRIC_DRAWS):
                rows = torch.randint(len(output), (len(output),), generator=generator)
                meter = task.meter(metric)
                with warnings.catch_warnings(action="ignore"):  # what is odd about outputs was told at evaluation
                    meter.update(output[rows], target[rows])
                    values.append(float(meter.compute()))
            yield f"{task.name}/{metric.label}", _percentiles(np.array(values))


def _percentiles(values: Array) -> Interval | None:
    """The interval; None where more than one in twenty values is no number."""
    known = values[~np.isnan(values)]
    if len(known) < 0.95 * len(values):
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
