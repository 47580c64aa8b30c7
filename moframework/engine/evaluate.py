"""Evaluation of a model over a fixed set of preferences: every batch is read once, all preferences see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.utils.data
from torch import Tensor

from moframework.data import Dataset, TensorData, batches
from moframework.engine.device import Placement
from moframework.engine.settings import Evaluation
from moframework.engine.world import Alone, World
from moframework.model import ParetoModel
from moframework.pareto.front import Front
from moframework.problem import Problem

if TYPE_CHECKING:
    import torchmetrics

__all__ = ["calibration_data", "evaluate"]

# Weights of all preferences are kept for the whole evaluation up to this many bytes; beyond, they are made anew for
# each batch.
_KEPT_WEIGHTS_BYTES = 512 * 2**20


@torch.no_grad()
def evaluate(
    model: ParetoModel,
    problem: Problem,
    data: Dataset,
    preferences: Tensor,
    *,
    split: str,
    batch_size: int,
    place: Placement,
    workers: int = 0,
    reference: Sequence[float] | None = None,
    metrics: bool = True,
    calibration: Dataset | None = None,
    world: World | None = None,
) -> Front:
    """The front of `model` on `data`.

    Args:
        preferences: the evaluation set (n, m); for a finite solver its own preferences.
        split: name of the split, kept with the front.
        reference: reference point of the loss hypervolume, or None for the problem's.
        metrics: compute the tasks' metrics too, not only the losses.
        calibration: samples from which the statistics of BatchNorm layers are taken anew for each preference; None for
            the statistics that all preferences share. See `calibration_data`.
        world: the processes, each of which reads its part of `data` (all of it, where there are fewer samples than
            processes); they hold the same model, and all get the whole front. torchmetrics brings the states of metrics
            together.

    Returns:
        losses exact over the whole data: per-sample statistics are added up over batches, then finished once.
    """
    was_training = model.training
    model.eval()
    tasks = problem.tasks
    n = len(preferences)
    exact = torch.float32 if place.device.type == "mps" else torch.float64  # MPS has no float64
    totals: list[list[Tensor | None]] = [[None] * len(tasks) for _ in range(n)]
    meters = (
        [[[metric.make(task.size).to(place.device) for metric in task.metrics] for task in tasks] for _ in range(n)]
        if metrics
        else []
    )
    statistics: list[dict[str, Tensor]] = [{} for _ in range(n)]
    if calibration is not None:
        whole = len(calibration) > batch_size  # type: ignore[arg-type]  # then no batch is left with a single sample
        inputs = batches(calibration, batch_size, order=None, device=place.device, workers=workers, drop_last=whole)
        statistics = model.batch_statistics(preferences, (place.arranged(x) for x, _ in inputs), place.autocast)
    kept: list[dict[str, Tensor]] | None = None
    each = sum(p.numel() * p.element_size() for p in model.weights(preferences[0]).values())
    if n * each <= _KEPT_WEIGHTS_BYTES:
        kept = [model.weights(preference) for preference in preferences]
    size = len(data)  # type: ignore[arg-type]
    world = Alone() if world is None or size < world.size else world
    order = None if world.size == 1 else torch.tensor(world.span(size))
    for x, targets in batches(data, batch_size, order=order, device=place.device, workers=workers):
        x = place.arranged(x)
        for j in range(n):
            weights = kept[j] if kept is not None else model.weights(preferences[j])
            with place.autocast():
                outputs = model.call({**weights, **statistics[j]}, x)
            for t, task in enumerate(tasks):
                output, target = outputs[task.output_key], targets[task.target_key]
                value = task.loss.statistics(output, target).sum(dim=0, dtype=exact)
                before = totals[j][t]
                totals[j][t] = value if before is None else before + value
                if metrics:
                    for meter in meters[j][t]:
                        meter.update(output, target)
    sums = iter(world.sums([_present(total) for row in totals for total in row]))
    losses = torch.stack([torch.stack([task.loss.finish(next(sums)) for task in tasks]) for _ in totals])
    columns: dict[str, np.ndarray] = {}
    higher: dict[str, bool] = {}
    worst: dict[str, float] = {}
    if metrics:
        for t, task in enumerate(tasks):
            for k, metric in enumerate(task.metrics):
                name = f"{task.name}/{metric.label}"
                columns[name] = np.array([_computed(meters[j][t][k], world) for j in range(n)])
                higher[name] = metric.higher_is_better
                if metric.worst is not None:
                    worst[name] = metric.worst
    model.train(was_training)
    chosen = problem.reference if reference is None else reference
    return Front(
        tasks=tuple(task.name for task in tasks),
        preferences=preferences.double().cpu().numpy(),
        losses=losses.double().cpu().numpy(),
        metrics=columns,
        higher_is_better=higher,
        split=split,
        reference=None if chosen is None else tuple(float(v) for v in chosen),
        metric_reference=worst,
        true_front=problem.true_front,
    )


def calibration_data(evaluation: Evaluation, data: Dataset) -> Dataset | None:
    """What `evaluate` takes the statistics of BatchNorm layers from: samples evenly spread over the training `data`,
    or None where they are shared."""
    if evaluation.batchnorm == "shared":
        return None
    size = len(data)  # type: ignore[arg-type]
    count = min(size, evaluation.calibration_samples)
    chosen = torch.arange(count) * size // count
    if isinstance(data, TensorData):
        return data.take(chosen)
    return torch.utils.data.Subset(data, chosen.tolist())


def _computed(meter: torchmetrics.Metric, world: World) -> float:
    """The value over all processes of the world, and no others: torchmetrics asks all that it finds."""
    for part in meter.modules():
        setattr(part, "sync_on_compute", world.size > 1)  # noqa: B010 (torch types attributes of modules as tensors)
    return float(meter.compute())


def _present(total: Tensor | None) -> Tensor:
    if total is None:
        raise ValueError("the data has no samples")
    return total
