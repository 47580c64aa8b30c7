"""What happens where an epoch or the training ends: validation, early stopping, checkpoints; and averages of weights,
which all of these see."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from attrs import define, evolve

from moframework.data.device_cache import resident
from moframework.engine.adapting import Adapting
from moframework.engine.checkpoint import BEST, save, write_checkpoint
from moframework.engine.evaluate import Evaluator, calibration_data
from moframework.engine.held_out import HeldOut
from moframework.engine.hooks import CompileTime, LossLog, Stop
from moframework.engine.loop import Hook, Loop
from moframework.optim.averaging import Average, OwnAverage, WeightAverage
from moframework.pareto.front import Front
from moframework.preferences.adaptive import Adaptive

__all__ = ["Averaging", "Checkpoints", "Validation", "make_hooks"]


class Averaging(Hook):
    """Keeps an average of the weights, which validation sees and the end of training leaves."""

    every_step = True

    def __init__(self, average: Average) -> None:
        self.average = average

    def after_step(self, loop: Loop) -> None:
        self.average.update(loop.done / loop.steps)

    def state(self) -> dict[str, Any]:
        return {"average": self.average.state()}

    def load(self, loop: Loop, state: dict[str, Any]) -> None:
        self.average.load(state["average"])

    def finished(self, loop: Loop) -> None:
        self.average.apply()


@define
class _Best:
    """Validation so far, as early stopping and the choice of the best checkpoint need it."""

    hypervolume: float | None = None
    waited: int = 0


class Validation(Hook):
    """Evaluates the validation front every few epochs, keeps the best model, and stops when patience runs out."""

    def __init__(self, loop: Loop, average: Average | None) -> None:
        job = loop.job
        self.best, self.average, self.stopping = _Best(), average, job.training.early_stopping
        self.data = resident(job.validation, job.training.resident, job.place.device, job.training.workers)
        calibration = calibration_data(job.evaluation, job.data)
        evaluator = Evaluator.of_spec(job.problem, job.place, job.training, job.evaluation, loop.world)
        self.evaluator = evolve(evaluator, reference=job.reference, calibration=calibration)

    def after_step(self, loop: Loop) -> None:
        every = loop.job.evaluation.every
        if not every or not (loop.at_end or (loop.at_epoch_end and (loop.done // loop.per_epoch) % every == 0)):
            return
        loop.sync_buffers()
        with contextlib.nullcontext() if self.average is None else self.average.applied():
            self.update_best(loop, self.evaluator.front(loop.model, self.data, loop.job.preferences, "val"))
        self._tell(loop)
        loop.clock.restart()

    def update_best(self, loop: Loop, front: Front) -> None:
        """Hold a front against the best so far, and keep the model when it is better."""
        value = front.hypervolume()
        least = 0.0 if self.stopping is None else self.stopping.min_delta
        is_best = self.best.hypervolume is None or value > self.best.hypervolume + least
        if is_best:
            self.best = _Best(hypervolume=value)
            state = loop.model.state_dict()
            if loop.world.is_rank_zero:
                write_checkpoint(loop.job.folder / BEST, {"step": loop.done, "model": state})
        else:
            self.best.waited += 1
        if loop.scheduler is not None:
            loop.scheduler.validated(value)
        loop.observer.evaluated(loop.progress, front, hypervolume=value, is_best=is_best)

    def state(self) -> dict[str, Any]:
        return {"best": {"hypervolume": self.best.hypervolume, "waited": self.best.waited}}

    def load(self, loop: Loop, state: dict[str, Any]) -> None:
        self.best = _Best(**state["best"])
        if state["steps"] != loop.steps:  # somebody wants it to go on
            self.best.waited = 0
        self._tell(loop)

    def _tell(self, loop: Loop) -> None:
        loop.best_hypervolume = self.best.hypervolume
        loop.out_of_patience = self.stopping is not None and self.best.waited >= self.stopping.patience


class Checkpoints(Hook):
    """Saves at each epoch's end or every few steps, and wherever training ends or stops."""

    def __init__(self, losses: LossLog) -> None:
        self.losses = losses

    def after_step(self, loop: Loop) -> None:
        every = loop.training.checkpoint_every
        if loop.ends or (loop.done % every == 0 if every else loop.at_epoch_end):
            self.losses.flush(loop)
            save(loop)
            loop.clock.restart()


def make_hooks(loop: Loop, wished: Callable[[], bool]) -> list[Hook]:
    """The hooks of a training. Their order matters: `Stop` says whether this step is the last, losses are read before
    validation, which says whether patience has run out, and a checkpoint holds what all of them left.

    Args:
        wished: whether to stop after this step.
    """
    hooks: list[Hook] = [Stop(wished)]
    if loop.training.compile:
        hooks.append(CompileTime())
    average = _average(loop)
    if average is not None:
        hooks.append(Averaging(average))
    if isinstance(loop.schedule, Adaptive):
        hooks.append(Adapting(loop, loop.schedule))
    if loop.job.method.objective.held_out_share is not None:
        hooks.append(HeldOut(loop))
    losses = LossLog(loop)
    hooks = [*hooks, losses, Validation(loop, average), Checkpoints(losses)]
    return loop.job.on_nonfinite.hooks(loop, hooks)


def _average(loop: Loop) -> Average | None:
    """What is evaluated, and is the result, in place of the weights that are trained."""
    if loop.training.averaging is not None:
        return WeightAverage(list(loop.model.space.parameters()), loop.training.averaging)
    return OwnAverage(loop.optimizer) if loop.training.optimizer_averages else None
