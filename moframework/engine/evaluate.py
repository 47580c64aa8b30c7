"""Evaluation of a model over a fixed set of preferences: every batch is read once, all preferences see it."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, Self

import numpy as np
import torch
from attrs import field, frozen
from torch import Tensor

from moframework.data import Batch, Dataset, batches
from moframework.data.sampling import evenly_spread
from moframework.engine.acceleration.vmap_evaluation import Forward, Outputs, VmapEvaluation
from moframework.engine.accumulator import Accumulator
from moframework.engine.device import Placement
from moframework.engine.settings import Evaluation, Training
from moframework.errors import NON_FINITE_ADVICE, NonFiniteLossError
from moframework.inputs.trees import Tree
from moframework.model import ParetoModel
from moframework.pareto.front import Front
from moframework.problem import Problem
from moframework.processes.world import World

__all__ = ["Evaluator", "calibration_data"]

Thetas = Sequence[dict[str, Tensor]]


class AcceleratedForward(Protocol):
    """What gives, for a batch, the outputs of each preference faster than `one_by_one`."""

    @classmethod
    def when(cls, model: ParetoModel, thetas: Thetas, place: Placement, x: Tree, plain: Forward | None) -> Self | str:
        """This forward for batches like x, or why it does not apply.

        Args:
            plain: the forward that has to be slower, which may be measured; None: not asked.
        """

    def __call__(self, x: Tree) -> Iterable[Outputs]:
        """The outputs of each preference, by output key."""


EVALUATION_ACCELERATIONS: tuple[type[AcceleratedForward], ...] = (VmapEvaluation,)
"""In the order in which they are asked."""

# The weights of all preferences are kept for the whole evaluation up to this many bytes; beyond, they are made anew for
# each batch.
_KEPT_WEIGHTS_BYTES = 512 * 2**20


@frozen(kw_only=True)
class Evaluator:
    """How fronts of a problem are evaluated.

    Attributes:
        reference: reference point of the loss hypervolume, or None for the problem's.
        metrics: compute the tasks' metrics too, not only the losses.
        calibration: samples from which the statistics of BatchNorm layers are taken anew for each preference; None for
            the statistics that all preferences share. See `calibration_data`.
        world: the ranks, each of which reads its part of the data (all of it, where there are fewer samples than
            ranks); they hold the same model, and all get the whole front.
        accelerated: whether one of `EVALUATION_ACCELERATIONS` is used where it can be; None: where it is faster.

    Example::

        evaluator = Evaluator(problem=problem, place=place, batch_size=1000)
        front = evaluator.front(model, problem.data("test"), preferences, "test")
    """

    problem: Problem
    place: Placement
    batch_size: int
    workers: int = 0
    reference: Sequence[float] | None = None
    metrics: bool = True
    calibration: Dataset | None = None
    world: World = field(factory=World)
    accelerated: bool | None = None

    @classmethod
    def of_spec(
        cls, problem: Problem, place: Placement, training: Training, evaluation: Evaluation, world: World
    ) -> Evaluator:
        """As the sections of a spec say; its reference and calibration are the problem's and none."""
        return cls(
            problem=problem, place=place, batch_size=evaluation.batch_size, workers=training.workers, world=world,
            accelerated=None if training.acceleration == "auto" else False,
        )  # fmt: skip

    @torch.no_grad()
    def front(self, model: ParetoModel, data: Dataset, preferences: Tensor, split: str) -> Front:
        """The front of `model` on `data`.

        Args:
            preferences: the evaluation set (n, m); for a finite solver its own preferences.
            split: name of the split, kept with the front.

        Returns:
            losses exact over the whole data: per-sample statistics are added up over batches, then finished once.

        Raises:
            ValueError: `data` has no samples.
            NonFiniteLossError: a loss is not finite.
        """
        was_training = model.training
        model.eval()
        losses, metrics = self._losses_and_metrics(model, self.weights_at(model, preferences), data)
        model.train(was_training)
        tasks = self.problem.tasks
        for j, t in (~torch.isfinite(losses)).nonzero().tolist()[:1]:
            raise NonFiniteLossError(
                f"the loss of task '{tasks[t].name}' on the {split} split is {float(losses[j, t])} at preference "
                f"({', '.join(f'{value:.4g}' for value in preferences[j].tolist())}): the weights have diverged since "
                f"the losses of training were last finite, or that split has such numbers. {NON_FINITE_ADVICE}"
            )
        known = {f"{task.name}/{metric.label}": metric for task in tasks for metric in task.metrics if self.metrics}
        reference = self.problem.reference if self.reference is None else self.reference
        return Front(
            tasks=tuple(task.name for task in tasks),
            preferences=preferences.double().cpu().numpy(),
            losses=losses.double().cpu().numpy(),
            metrics=metrics,
            higher_is_better={name: metric.higher_is_better for name, metric in known.items()},
            split=split,
            reference=None if reference is None else tuple(float(v) for v in reference),
            metric_reference={name: metric.worst for name, metric in known.items() if metric.worst is not None},
            true_front=self.problem.true_front,
        )

    def weights_at(self, model: ParetoModel, preferences: Tensor) -> Thetas:
        """θ(λ) of each preference (n, m), with its statistics: a list, or made when asked for where they are large."""
        statistics: list[dict[str, Tensor]] = [{} for _ in preferences]
        if self.calibration is not None:
            # Of more than one batch none may be left with a single sample.
            drop_last = len(self.calibration) > self.batch_size  # type: ignore[arg-type]
            inputs = self._batches(self.calibration, None, drop_last=drop_last)
            statistics = model.batch_statistics(preferences, (x for x, _ in inputs), self.place.autocast)
        thetas = _Thetas(model, preferences, statistics)
        size = len(thetas) * sum(value.numel() * value.element_size() for value in thetas[0].values())
        return list(thetas) if size <= _KEPT_WEIGHTS_BYTES else thetas

    def _losses_and_metrics(
        self, model: ParetoModel, thetas: Thetas, data: Dataset
    ) -> tuple[Tensor, dict[str, np.ndarray]]:
        """Losses (n, m), and metrics by name, n numbers each."""
        size = len(data)  # type: ignore[arg-type]
        world = World() if size < self.world.size else self.world
        order = None if world.size == 1 else torch.tensor(world.local_range(size))
        accumulator = Accumulator(self.problem.tasks, len(thetas), self.place, metrics=self.metrics)
        forward: Forward | None = None
        for x, targets in self._batches(data, order):
            if forward is None:
                forward = self._forward(model, thetas, x)
            accumulator.begin(targets)
            for j, outputs in enumerate(forward(x)):
                accumulator.add(j, outputs)
        return accumulator.losses(world), accumulator.metrics(world)

    def _forward(self, model: ParetoModel, thetas: Thetas, x: Tree) -> Forward:
        """What gives the outputs of each preference for batches like x: the first acceleration that applies, else the
        plain `one_by_one`."""
        plain = functools.partial(one_by_one, model, thetas, self.place)
        for acceleration in () if self.accelerated is False else EVALUATION_ACCELERATIONS:
            found = acceleration.when(model, thetas, self.place, x, None if self.accelerated else plain)
            if not isinstance(found, str):
                return found
        return plain

    def _batches(self, data: Dataset, order: Tensor | None, drop_last: bool = False) -> Iterator[Batch]:
        """Batches on the device, in its memory order."""
        for x, targets in batches(
            data, self.batch_size, order=order, device=self.place.device, workers=self.workers, drop_last=drop_last
        ):
            yield self.place.arranged(x), targets


def one_by_one(model: ParetoModel, thetas: Thetas, place: Placement, x: Tree) -> Iterator[Outputs]:
    """The outputs of a network for x with the weights of each preference, one forward pass after the other."""
    for theta in thetas:
        with place.autocast():
            outputs = model.call(theta, x)
        yield outputs


def calibration_data(evaluation: Evaluation, data: Dataset) -> Dataset | None:
    """What an `Evaluator` takes the statistics of BatchNorm layers from: samples evenly spread over the training
    `data`, or None where they are shared."""
    if evaluation.batchnorm != "recalibrate":
        return None
    return evenly_spread(data, evaluation.calibration_samples)


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
