"""Evaluation of a model over a fixed set of preferences: every batch is read once, all preferences see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.utils.data
from torch import Tensor

from moframework.data import Dataset, TensorData, batches
from moframework.engine.acceleration.vmap_evaluation import Passes
from moframework.engine.accumulator import Accumulator
from moframework.engine.device import Placement
from moframework.engine.distributed.world import SingleProcess, World
from moframework.engine.settings import Evaluation
from moframework.model import ParetoModel
from moframework.pareto.front import Front
from moframework.problem import Problem

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
    vectorized: bool | None = None,
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
        vectorized: whether all preferences go through the network in one pass; None: on an accelerator, where that is
            faster. See `Passes`.

    Returns:
        losses exact over the whole data: per-sample statistics are added up over batches, then finished once.
    """
    was_training = model.training
    model.eval()
    n = len(preferences)
    accumulator = Accumulator(problem.tasks, n, place, metrics=metrics)
    statistics: list[dict[str, Tensor]] = [{} for _ in range(n)]
    if calibration is not None:
        whole = len(calibration) > batch_size  # type: ignore[arg-type]  # then no batch is left with a single sample
        inputs = batches(calibration, batch_size, order=None, device=place.device, workers=workers, drop_last=whole)
        statistics = model.batch_statistics(preferences, (place.arranged(x) for x, _ in inputs), place.autocast)
    thetas: Sequence[dict[str, Tensor]] = _Thetas(model, preferences, statistics)
    keeps = n * sum(value.numel() * value.element_size() for value in thetas[0].values()) <= _KEPT_WEIGHTS_BYTES
    passes = Passes(model, list(thetas) if keeps else thetas, place, vectorized if keeps else False)
    size = len(data)  # type: ignore[arg-type]
    world = SingleProcess() if world is None or size < world.size else world
    order = None if world.size == 1 else torch.tensor(world.local_range(size))
    for x, targets in batches(data, batch_size, order=order, device=place.device, workers=workers):
        x = place.arranged(x)
        accumulator.begin(targets)
        for j, outputs in enumerate(passes(x)):
            accumulator.add(j, outputs)
    losses = accumulator.losses(world)
    columns = accumulator.metrics(world)
    told = {f"{task.name}/{metric.label}": metric for task in problem.tasks for metric in task.metrics if metrics}
    model.train(was_training)
    chosen = problem.reference if reference is None else reference
    return Front(
        tasks=tuple(task.name for task in problem.tasks),
        preferences=preferences.double().cpu().numpy(),
        losses=losses.double().cpu().numpy(),
        metrics=columns,
        higher_is_better={name: metric.higher_is_better for name, metric in told.items()},
        split=split,
        reference=None if chosen is None else tuple(float(v) for v in chosen),
        metric_reference={name: metric.worst for name, metric in told.items() if metric.worst is not None},
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


class _Thetas(Sequence[dict[str, Tensor]]):
    """The weights of each preference with its statistics, made when asked for."""

    def __init__(self, model: ParetoModel, preferences: Tensor, statistics: Sequence[dict[str, Tensor]]) -> None:
        self.model, self.preferences, self.statistics = model, preferences, statistics

    def __len__(self) -> int:
        return len(self.preferences)

    def __getitem__(self, j: Any) -> Any:
        if not 0 <= j < len(self):  # the end of an iteration
            raise IndexError(j)
        return {**self.model.weights(self.preferences[j]), **self.statistics[j]}
