"""The training loop. It knows parts and contracts, no solver and no problem by name.

Randomness of a step is a function of (seed, step) alone, and the order of samples of (seed, epoch): a training that was killed
and resumed takes the same steps as one that was not, bit for bit on the CPU.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from attrs import define, frozen
from torch import Tensor

from moframework.data import Dataset, TensorData, batches
from moframework.engine.checkpoint import read_checkpoint, write_checkpoint
from moframework.engine.device import Placement
from moframework.engine.evaluate import evaluate
from moframework.engine.events import Observer, Progress
from moframework.engine.method import Method
from moframework.engine.settings import Evaluation, Training
from moframework.engine.step import Step
from moframework.errors import DataError, InterruptedRun, NonFiniteLossError
from moframework.model import ParetoModel
from moframework.problem import Problem

__all__ = ["Fit", "fit"]

LAST, BEST = "last.pt", "best.pt"

# Distinct streams of random numbers drawn from one seed.
_STEP, _EPOCH = 1, 2


@frozen(kw_only=True)
class Fit:
    """What a finished training reports: steps taken, best validation hypervolume (None without validation), seconds spent in
    training steps (validation and checkpoints left out, resumed parts included)."""

    steps: int
    best_hypervolume: float | None
    training_seconds: float


def stream(seed: int, kind: int, index: int) -> int:
    """A 63-bit seed for the random numbers of one step or epoch (splitmix64 over the three numbers)."""
    value = 0
    for part in (seed, kind, index):
        value = (value + part + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        value ^= value >> 31
    return value >> 1


@define
class _Best:
    """Validation so far, as early stopping and the choice of the best checkpoint need it."""

    hypervolume: float | None = None
    waited: int = 0


class _Loop:
    """The state of one training; `fit` drives it."""

    def __init__(
        self,
        model: ParetoModel,
        problem: Problem,
        method: Method,
        training: Training,
        place: Placement,
        steps: int,
    ) -> None:
        self.model, self.training, self.place = model, training, place
        self.groups = model.space.parameter_groups(training.optimizer.lr)
        self.parameters = [p for group in self.groups for p in group["params"]]
        self.optimizer = training.optimizer.build(self.groups, place.device)
        self.steps = steps
        self.step = Step(model, problem.tasks, method, place)
        self.schedule = method.preferences
        self.m = len(problem.tasks)
        self.scaler = torch.amp.GradScaler(place.device.type, enabled=place.autocast_dtype is torch.float16)
        self.best = _Best()
        self.seconds = 0.0
        self.done = 0

    def take(self, x: Tensor, targets: dict[str, Tensor], seed: int) -> tuple[Tensor, Tensor]:
        """One optimizer step on one batch; returns losses (M, m) on the device and preferences (M, m) on the host."""
        generator = torch.Generator().manual_seed(stream(seed, _STEP, self.done))
        torch.manual_seed(stream(seed, _STEP, self.done))  # dropout and the like
        count = self.schedule.count(self.m)
        preferences = self.schedule.draw((self.done + 1) / self.steps, count, self.m, generator)
        x = self.place.arranged(x)
        self.optimizer.zero_grad(set_to_none=True)
        scale = self.scaler.scale(torch.ones((), device=self.place.device)) if self.scaler.is_enabled() else None
        losses = self.step.run(x, targets, preferences, scale)
        if self.training.clip_gradient_norm is not None:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.parameters, self.training.clip_gradient_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.done += 1
        return losses, preferences

    def state(self) -> dict[str, object]:
        return {
            "step": self.done,
            "steps": self.steps,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "balancing": self.step.state,
            "best": {"hypervolume": self.best.hypervolume, "waited": self.best.waited},
            "seconds": self.seconds,
        }

    def restore(self, path: Path) -> None:
        state = read_checkpoint(path)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.step.state = [
            {key: value.to(self.place.device) for key, value in part.items()} for part in state["balancing"]
        ]
        self.best = _Best(**state["best"])
        self.seconds = state["seconds"]
        self.done = state["step"]


class _Record:
    """Losses of the steps since the last reading, kept on the device until they are read all at once."""

    def __init__(self, tasks: Sequence[str]) -> None:
        self.tasks = tasks
        self.entries: list[tuple[int, Tensor, Tensor]] = []

    def add(self, step: int, losses: Tensor, preferences: Tensor) -> None:
        self.entries.append((step, losses, preferences))

    def read(self) -> tuple[dict[str, float], Tensor] | None:
        """Mean loss by task and the last preferences; raises NonFiniteLossError for the first step that went wrong."""
        if not self.entries:
            return None
        losses = torch.stack([losses for _, losses, _ in self.entries]).double().cpu()
        if not bool(torch.isfinite(losses).all()):
            i, j, t = (int(v) for v in (~torch.isfinite(losses)).nonzero()[0])
            step, _, preferences = self.entries[i]
            at = ", ".join(f"{v:.4g}" for v in preferences[j].tolist())
            raise NonFiniteLossError(
                f"step {step}: the loss of task '{self.tasks[t]}' is {float(losses[i, j, t])} at preference ({at}). The last good "
                "checkpoint is kept. Try a smaller training.optimizer.lr, training.clip_gradient_norm, or precision fp32."
            )
        mean = losses.mean(dim=(0, 1)).tolist()
        last = self.entries[-1][2]
        self.entries.clear()
        return dict(zip(self.tasks, mean, strict=True)), last


def fit(
    model: ParetoModel,
    problem: Problem,
    method: Method,
    training: Training,
    evaluation: Evaluation,
    *,
    data: Dataset,
    validation: Dataset,
    preferences: Tensor,
    reference: Sequence[float],
    seed: int,
    place: Placement,
    folder: Path,
    observer: Observer,
    resume: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Fit:
    """Train `model` in place.

    Args:
        data, validation: the splits to train on and to validate with.
        preferences: the evaluation set (n, m) for validation.
        reference: reference point of the validation hypervolume, m numbers.
        folder: checkpoints go here: `last.pt` (everything needed to resume) and `best.pt` (the model with the best validation).
        resume: continue from `folder/last.pt`.
        stop: asked after every step; True saves and raises `InterruptedRun`.

    Raises:
        NonFiniteLossError: a loss or a weight is not finite; checkpoints written before stay.
        InterruptedRun: `stop` said so.
        DataError: fewer samples than a batch needs.
        RunError: nothing to resume, or a damaged checkpoint.
    """
    size = len(data)  # type: ignore[arg-type]
    per_epoch = size // training.batch_size if training.drop_last and size >= training.batch_size else math.ceil(size / training.batch_size)
    count = method.preferences.count(len(problem.tasks))
    smallest = min(training.batch_size, size if training.drop_last else size % training.batch_size or training.batch_size)
    if method.preferences.batch == "split" and smallest < count:
        raise DataError(
            f"a batch of {smallest} samples cannot be split among {count} preferences: raise training.batch_size or lower "
            "solver.preferences.per_batch"
        )
    steps = training.budget(per_epoch)
    loop = _Loop(model, problem, method, training, place, steps)
    scheduler = None
    if training.scheduler is not None:
        by_step = training.scheduler.interval == "step"
        scheduler = training.scheduler.build(loop.optimizer, steps if by_step else math.ceil(steps / per_epoch))
    if resume:
        loop.restore(folder / LAST)
        if scheduler is not None:
            scheduler.load_state_dict(read_checkpoint(folder / LAST)["scheduler"])
    resident = data.to(place.device) if isinstance(data, TensorData) else data
    record = _Record([task.name for task in problem.tasks])
    patience = training.early_stopping

    def progress() -> Progress:
        return Progress(step=loop.done, steps=steps, epoch=loop.done / per_epoch, epochs=steps / per_epoch)

    def read() -> None:
        nonlocal mark, marked
        now = time.perf_counter()
        result = record.read()
        if result is None:
            return
        rates = {str(group.get("name", i)): float(group["lr"]) for i, group in enumerate(loop.optimizer.param_groups)}
        loop.seconds += now - mark
        observer.logged(
            progress(),
            losses=result[0],
            learning_rates=rates,
            preferences=result[1].double().numpy(),
            seconds_per_step=(now - mark) / max(1, loop.done - marked),
        )
        mark, marked = time.perf_counter(), loop.done

    def save() -> None:
        if not all(bool(torch.isfinite(p).all()) for p in loop.parameters):
            raise NonFiniteLossError(
                f"step {loop.done}: a weight is not finite although the losses were. The last good checkpoint is kept. Try a "
                "smaller training.optimizer.lr, training.clip_gradient_norm, or precision fp32."
            )
        state = loop.state()
        if scheduler is not None:
            state["scheduler"] = scheduler.state_dict()
        write_checkpoint(folder / LAST, state)
        observer.saved(progress(), folder / LAST)

    def validate() -> bool:
        """Evaluate; True when patience has run out."""
        front = evaluate(
            model, problem, validation, preferences, split="val", batch_size=evaluation.batch_size, place=place,
            workers=training.workers, reference=reference,
        )  # fmt: skip
        value = front.hypervolume()
        least = patience.min_delta if patience is not None else 0.0
        is_best = loop.best.hypervolume is None or value > loop.best.hypervolume + least
        if is_best:
            loop.best = _Best(hypervolume=value)
            write_checkpoint(folder / BEST, {"step": loop.done, "model": model.state_dict()})
        else:
            loop.best.waited += 1
        observer.evaluated(progress(), front, hypervolume=value, is_best=is_best)
        return patience is not None and loop.best.waited >= patience.patience

    mark, marked = time.perf_counter(), loop.done
    observer.started(progress())
    model.train()
    finished_early = patience is not None and loop.best.waited >= patience.patience
    with torch.random.fork_rng(devices=[place.device] if place.device.type == "cuda" else []):
        while loop.done < steps and not finished_early:
            epoch, skip = divmod(loop.done, per_epoch)
            order = torch.randperm(size, generator=torch.Generator().manual_seed(stream(seed, _EPOCH, epoch)))
            order = order[: per_epoch * training.batch_size]
            mark = time.perf_counter()
            for x, targets in batches(
                resident, training.batch_size, order=order, device=place.device, workers=training.workers, skip=skip,
                seed=(seed, epoch),
            ):  # fmt: skip
                losses, drawn = loop.take(x, targets, seed)
                record.add(loop.done, losses, drawn)
                ends_epoch = loop.done % per_epoch == 0
                if scheduler is not None and (training.scheduler.interval == "step" or ends_epoch):  # type: ignore[union-attr]
                    scheduler.step()
                observer.stepped(progress())
                last = loop.done == steps
                stopping = stop()
                if loop.done % training.log_every == 0 or ends_epoch or last or stopping:
                    read()
                if evaluation.every and (last or (ends_epoch and (loop.done // per_epoch) % evaluation.every == 0)):
                    finished_early = validate()
                    mark = time.perf_counter()
                every = training.checkpoint_every
                if last or stopping or finished_early or (loop.done % every == 0 if every else ends_epoch):
                    read()
                    save()
                    mark = time.perf_counter()
                if stopping and not last:
                    raise InterruptedRun(f"stopped at step {loop.done} of {steps}, as asked; everything is saved")
                if last or finished_early:
                    break
    observer.finished(progress())
    return Fit(steps=loop.done, best_hypervolume=loop.best.hypervolume, training_seconds=loop.seconds)
