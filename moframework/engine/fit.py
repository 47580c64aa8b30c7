"""The training loop. It knows parts and contracts, no solver and no problem by name.

Randomness of a step is a function of (seed, step) alone, and the order of samples of (seed, epoch): a training that
was killed and resumed takes the same steps as one that was not, bit for bit on the CPU.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from attrs import define, frozen
from torch import Tensor

from moframework.augmentations import augmented
from moframework.data import Dataset, batches
from moframework.engine.acceleration.cuda_graph import Recorder
from moframework.engine.averaging import WeightAverage
from moframework.engine.checkpoint import read_checkpoint, write_checkpoint
from moframework.engine.device import Placement
from moframework.engine.device_cache import resident
from moframework.engine.distributed.optimizer_sharding import OptimizerSharding, check_sharding, make_sharding
from moframework.engine.distributed.partition import Partition, make_partition
from moframework.engine.distributed.sync_batchnorm import sync_buffers, synchronized
from moframework.engine.distributed.world import Alone, World
from moframework.engine.evaluate import calibration_data, evaluate
from moframework.engine.events import Observer, Progress, Reading
from moframework.engine.method import Method
from moframework.engine.settings import Evaluation, Training
from moframework.engine.step import Step
from moframework.errors import DataError, InterruptedRun, NonFiniteLossError, SpecError
from moframework.model import ParetoModel
from moframework.objectives import Scalarization
from moframework.pareto.front import Front
from moframework.preferences import Schedule
from moframework.problem import Problem

if TYPE_CHECKING:
    from moframework.engine.distributed.fsdp import ShardedSpace

__all__ = ["Fit", "derive_seed", "fit", "plan_partition", "steps_per_epoch"]

LAST, BEST = "last.pt", "best.pt"

_NON_FINITE_ADVICE = (
    "The last good checkpoint is kept. "
    "Try a smaller training.optimizer.lr, training.clip_gradient_norm, or precision fp32."
)

# Distinct streams of random numbers drawn from one seed.
_STEP, _EPOCH, _AUGMENTATION = 1, 2, 3
# Steps whose preferences are drawn at once.
_AHEAD = 64


@frozen(kw_only=True)
class Fit:
    """What a finished training reports: steps taken, best validation hypervolume (None without validation), seconds
    and processor seconds spent in training steps (validation and checkpoints left out, resumed parts included).

    Processor seconds are those of all threads of this process: unlike seconds they hardly depend on what else the
    machine does, but they leave out an accelerator, and other processes of the run. The first step of a compiled
    network counts in neither: it is what compiling took, None where nothing was compiled."""

    steps: int
    best_hypervolume: float | None
    training_seconds: float
    processor_seconds: float
    compile_seconds: float | None


def derive_seed(seed: int, kind: int, index: int) -> int:
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
                f"step {step}: the loss of task '{self.tasks[t]}' is {float(losses[i, j, t])} at preference ({at}). "
                + _NON_FINITE_ADVICE
            )
        mean = losses.mean(dim=(0, 1)).tolist()
        last = self.entries[-1][2]
        self.entries.clear()
        return dict(zip(self.tasks, mean, strict=True)), last


class Loop:
    """One training in progress: its state, and what can be done with it."""

    def __init__(
        self,
        model: ParetoModel,
        problem: Problem,
        method: Method,
        training: Training,
        place: Placement,
        per_epoch: int,
        folder: Path,
        observer: Observer,
        partition: Partition,
    ) -> None:
        self.model, self.training, self.place = model, training, place
        self.world = partition.world
        self.folder, self.observer = folder, observer
        self.per_epoch, self.steps, self.done = per_epoch, training.budget(per_epoch), 0
        self.augmentation, self.maps, self.item_seed = problem.augmentation, problem.maps, partition.item_seed
        shards = self.world.size > 1 and training.distributed.parameters == "sharded"
        self.streamed = _streamed(model, method, place) if shards else None
        self.step = Step(model, problem.tasks, method, place, partition, training.recompute)
        groups = model.space.parameter_groups(training.optimizer.lr)
        learned = list(self.step.objective_states.parameters())
        if learned:
            groups.append({"name": "objective", "params": learned, "lr": training.optimizer.lr})
        self.parameters = [p for group in groups for p in group["params"]]
        self.average = None
        if training.averaging is not None:
            self.average = WeightAverage(list(model.space.parameters()), training.averaging)
        self.sharding: OptimizerSharding
        if self.streamed is None:
            self.sharding = make_sharding(groups, training, self.world)
        else:
            from moframework.engine.distributed.fsdp_checkpoint import FullySharded

            self.sharding = FullySharded(groups, self.streamed, training.optimizer.lr)
        self.optimizer = training.optimizer.build(self.sharding.groups, place.device)
        self.scheduler, self.scheduler_by_step = None, False
        if training.scheduler is not None:
            self.scheduler_by_step = training.scheduler.interval == "step"
            total = self.steps if self.scheduler_by_step else math.ceil(self.steps / per_epoch)
            self.scheduler = training.scheduler.build(self.optimizer, total)
        self.scaler = torch.amp.GradScaler(place.device.type, enabled=place.autocast_dtype is torch.float16)
        self.schedule, self.m = method.preferences, len(problem.tasks)
        self._drawn: dict[int, Tensor] = {}
        self.record = _Record([task.name for task in problem.tasks])
        self.best = _Best()
        self.seconds, self.processor_seconds = 0.0, 0.0
        self.compile_seconds: float | None = None
        if training.compile:
            # Recording is ours, of more than what is compiled.
            self.step.compile(None if training.compile is True else f"{training.compile}-no-cudagraphs")
        self.recorder = self._recorder()
        self.restart_clock()

    @property
    def progress(self) -> Progress:
        epochs = self.steps / self.per_epoch
        return Progress(step=self.done, steps=self.steps, epoch=self.done / self.per_epoch, epochs=epochs)

    @property
    def at_epoch_end(self) -> bool:
        return self.done % self.per_epoch == 0

    @property
    def out_of_patience(self) -> bool:
        stopping = self.training.early_stopping
        return stopping is not None and self.best.waited >= stopping.patience

    def take(self, x: Tensor, targets: dict[str, Tensor], seed: int) -> None:
        """One optimizer step on one batch. Nothing is read back from the device."""
        self.world.seed(derive_seed(seed, _STEP, self.done))  # dropout and the like
        preferences, progress = self._preferences(seed), (self.done + 1) / self.steps
        self.model.space.progressed(progress)
        self.sharding.zero_grad(self.optimizer)
        scale = self.scaler.scale(torch.ones((), device=self.place.device)) if self.scaler.is_enabled() else None
        if self.augmentation:
            value = derive_seed(seed, _AUGMENTATION, self.done)
            for number in self.item_seed:  # processes that see different samples change them differently
                value = derive_seed(value, _AUGMENTATION, number + 1)
            own = torch.Generator().manual_seed(value)
            x, targets = augmented(self.augmentation, x, targets, self.maps, own)
        x = self.place.arranged(x)
        run = self.step.run if self.recorder is None else self.recorder.run
        losses = run(x, targets, preferences, scale)
        self.sharding.average(self.world, self.parameters)
        if self.training.clip_gradient_norm is not None:
            self.scaler.unscale_(self.optimizer)
            self.sharding.clip(self.parameters, self.training.clip_gradient_norm)
        self.sharding.step(self.optimizer, self.scaler)
        self.scaler.update()
        if self.average is not None:
            self.average.update(progress)
        self.step.review(x, targets, preferences, losses)
        self.done += 1
        if self.at_epoch_end:
            self.step.epoch_ended()
        if self.scheduler is not None and (self.scheduler_by_step or self.at_epoch_end):
            self.scheduler.step()
        self.record.add(self.done, losses, preferences)
        self.observer.stepped(self.progress)

    def _preferences(self, seed: int) -> Tensor:
        """Those of the step to come (M, m), on the host. Drawn for some steps ahead, each from its own random numbers:
        what a step draws depends on its number alone, and one after the other takes half as long as between steps."""
        if self.done not in self._drawn:
            count, ahead = self.schedule.count(self.m), range(self.done, min(self.done + _AHEAD, self.steps))
            generators = [torch.Generator().manual_seed(derive_seed(seed, _STEP, step)) for step in ahead]
            self._drawn = {
                step: self.schedule.draw((step + 1) / self.steps, count, self.m, generator)
                for step, generator in zip(ahead, generators, strict=True)
            }
        return self._drawn[self.done]

    def _recorder(self) -> Recorder | None:
        """What records steps, where that is possible; see `Training.cuda_graph`."""
        reason = None
        if self.place.device.type != "cuda":
            reason = f"the device is {self.place.device}"
        elif self.world.size > 1:
            reason = "several processes share a step"
        elif self.training.recompute:
            reason = "activations are made again"
        elif len(self.step.objective_states):
            reason = "the objective has a state of its own"
        if reason is None and self.training.cuda_graph:
            return Recorder(self.step, self.parameters, self.training.cuda_graph, self.observer.noted)
        if self.training.cuda_graph is True:
            raise SpecError(f"training.cuda_graph: steps cannot be recorded, for {reason}; use auto or false")
        return None

    def took_first(self, begin: float) -> None:
        """Note what compiling took, a step after `begin`."""
        if self.place.device.type == "cuda":
            torch.cuda.synchronize(self.place.device)
        self.compile_seconds = time.perf_counter() - begin
        self.restart_clock()

    def restart_clock(self) -> None:
        """Leave out of the training time what happened since the last reading."""
        self._since, self._since_processor, self._since_step = time.perf_counter(), time.process_time(), self.done

    def read(self) -> None:
        """Read the losses since the last reading, all at once, and tell them."""
        result = self.record.read()
        if result is None:
            return
        spent = time.perf_counter() - self._since
        self.seconds += spent
        self.processor_seconds += time.process_time() - self._since_processor
        rates = {str(group.get("name", i)): float(group["lr"]) for i, group in enumerate(self.optimizer.param_groups)}
        reading = Reading(
            losses=result[0],
            learning_rates=rates,
            preferences=result[1].double().numpy(),
            seconds_per_step=spent / max(1, self.done - self._since_step),
        )
        self.observer.logged(self.progress, reading)
        self.restart_clock()

    def judge(self, front: Front) -> None:
        """Hold a validation front against the best so far, and keep the model when it is better."""
        value = front.hypervolume()
        least = 0.0 if self.training.early_stopping is None else self.training.early_stopping.min_delta
        is_best = self.best.hypervolume is None or value > self.best.hypervolume + least
        if is_best:
            self.best = _Best(hypervolume=value)
            state = self.sharding.model_state(self.model)
            if self.world.first:
                write_checkpoint(self.folder / BEST, {"step": self.done, "model": state})
        else:
            self.best.waited += 1
        self.observer.evaluated(self.progress, front, hypervolume=value, is_best=is_best)

    def save(self) -> None:
        """Write everything that a resume needs. Raises `NonFiniteLossError` rather than save broken weights."""
        if not self.sharding.finite(self.parameters):
            raise NonFiniteLossError(
                f"step {self.done}: a weight is not finite although the losses were. {_NON_FINITE_ADVICE}"
            )
        self.settle()
        self.step.settle()
        optimizer, model = self.sharding.state(self.optimizer), self.sharding.model_state(self.model)
        if not self.world.first:
            return
        state = {
            "step": self.done,
            "steps": self.steps,
            "model": model,
            "optimizer": optimizer,
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "balancing": self.step.state,
            "objective": self.step.objective_states.state_dict(),
            "average": None if self.average is None else self.average.state(),
            "best": {"hypervolume": self.best.hypervolume, "waited": self.best.waited},
            "seconds": self.seconds,
            "processor_seconds": self.processor_seconds,
        }
        write_checkpoint(self.folder / LAST, state)
        self.observer.saved(self.progress, self.folder / LAST)

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """The model has its average weights inside, where weights are averaged."""
        return contextlib.nullcontext() if self.average is None else self.average.applied()

    def settle(self) -> None:
        """Make the model's buffers the same on all processes, to be evaluated or saved."""
        sync_buffers(self.model, self.world)

    def restore(self) -> None:
        """Continue where the last checkpoint ended, which only the first process needs to see."""
        state = self.world.from_first(lambda: read_checkpoint(self.folder / LAST))
        self.sharding.load_model(self.model, state["model"])
        self.sharding.load(self.optimizer, state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self.scaler.load_state_dict(state["scaler"])
        self.step.state = [
            {key: value.to(self.place.device) for key, value in part.items()} for part in state["balancing"]
        ]
        self.step.objective_states.load_state_dict(state["objective"])
        if self.average is not None:
            self.average.load(state["average"])
        self.best = _Best(**state["best"])
        self.seconds, self.processor_seconds = state["seconds"], state["processor_seconds"]
        self.done = state["step"]


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
    world: World | None = None,
) -> Fit:
    """Train `model` in place.

    Args:
        data, validation: the splits to train on and to validate with.
        preferences: the evaluation set (n, m) for validation.
        reference: reference point of the validation hypervolume, m numbers.
        folder: checkpoints go here: `last.pt` (everything needed to resume) and `best.pt` (the model with the best
            validation).
        resume: continue from `folder/last.pt`.
        stop: asked after every step; True, of any process, saves and raises `InterruptedRun` in all.
        world: the processes that train together, each calling this with the same arguments but `place`, `stop` and
            `observer`; the first one writes. None: this one alone.

    Raises:
        NonFiniteLossError: a loss or a weight is not finite; checkpoints written before stay.
        InterruptedRun: `stop` said so.
        DataError: fewer samples than a batch needs.
        SpecError: fewer preferences than processes to spread them over.
        RunError: nothing to resume, or a damaged checkpoint.
    """
    size = len(data)  # type: ignore[arg-type]
    per_epoch = steps_per_epoch(size, training, method.preferences, len(problem.tasks))
    world = Alone() if world is None else world
    partition = plan_partition(world, size, training, method.preferences, len(problem.tasks))
    if not resume:
        world.spread([*model.parameters(), *model.buffers()])
    loop = Loop(model, problem, method, training, place, per_epoch, folder, observer, partition)
    if resume:
        loop.restore()
    pieces = method.preferences.count(len(problem.tasks)) if method.preferences.batch == "split" else 1
    data, validation = (
        resident(part, training.resident, place.device, training.workers) for part in (data, validation)
    )
    calibration = calibration_data(evaluation, data)
    observer.started(loop.progress)
    model.train()
    whole_batch = world.size > 1 and training.distributed.batchnorm == "synchronized" and partition.parts_batch
    with (
        torch.random.fork_rng(devices=[place.device] if place.device.type == "cuda" else []),
        synchronized(model.skeleton, world) if whole_batch else contextlib.nullcontext(),
    ):
        while loop.done < loop.steps and not loop.out_of_patience:
            epoch, skip = divmod(loop.done, per_epoch)
            order = torch.randperm(size, generator=torch.Generator().manual_seed(derive_seed(seed, _EPOCH, epoch)))
            own, own_size = partition.samples(order[: per_epoch * training.batch_size], training.batch_size, pieces)
            loop.restart_clock()
            for x, targets in batches(
                data,
                own_size,
                order=own,
                device=place.device,
                workers=training.workers,
                skip=skip,
                seed=(seed, epoch, *partition.item_seed),
            ):
                begin = time.perf_counter()
                loop.take(x, targets, seed)
                if training.compile and loop.compile_seconds is None:
                    loop.took_first(begin)
                last, stopping, ends_epoch = loop.done == loop.steps, world.agreed(stop()), loop.at_epoch_end
                if loop.done % training.log_every == 0 or ends_epoch or last or stopping:
                    loop.read()
                if evaluation.every and (last or (ends_epoch and (loop.done // per_epoch) % evaluation.every == 0)):
                    loop.settle()
                    with loop.averaged():
                        front = evaluate(
                            model,
                            problem,
                            validation,
                            preferences,
                            split="val",
                            batch_size=evaluation.batch_size,
                            place=place,
                            workers=training.workers,
                            reference=reference,
                            calibration=calibration,
                            world=world,
                        )
                        loop.judge(front)
                    loop.restart_clock()
                every = training.checkpoint_every
                due = loop.done % every == 0 if every else ends_epoch
                if last or stopping or due or loop.out_of_patience:
                    loop.read()
                    loop.save()
                    loop.restart_clock()
                if stopping and not last:
                    raise InterruptedRun(f"stopped at step {loop.done} of {loop.steps}, as asked; everything is saved")
                if last or loop.out_of_patience:
                    break
    if loop.average is not None:
        loop.average.apply()
    loop.sharding.finish(model)
    observer.finished(loop.progress)
    return Fit(
        steps=loop.done,
        best_hypervolume=loop.best.hypervolume,
        training_seconds=loop.seconds,
        processor_seconds=loop.processor_seconds,
        compile_seconds=loop.compile_seconds,
    )


def _streamed(model: ParetoModel, method: Method, place: Placement) -> ShardedSpace:
    """The model's weight space, sharded. Raises `SpecError` where something needs it whole."""
    from moframework.engine.distributed.fsdp import shard_parameters

    if any(balancing.needs_gradients for balancing in method.balancing) or not isinstance(
        method.objective, Scalarization
    ):
        raise SpecError(
            "training.distributed.parameters: sharded does not go with objectives and balancings that need the "
            "gradient of every task, which is as large as the network; use replicated"
        )
    return shard_parameters(model, place.device)


def steps_per_epoch(size: int, training: Training, schedule: Schedule, m: int) -> int:
    """Batches of one epoch. Raises `DataError` when a batch is too small to be split."""
    return _batches_of_epoch(size, training, schedule, m)[0]


def plan_partition(world: World, size: int, training: Training, schedule: Schedule, m: int) -> Partition:
    """How the steps on `size` samples are divided among processes. Raises as `divided` and `check_sharding` do."""
    check_sharding(training)
    smallest = _batches_of_epoch(size, training, schedule, m)[1]
    return make_partition(world, training.distributed, schedule, m, smallest)


def _batches_of_epoch(size: int, training: Training, schedule: Schedule, m: int) -> tuple[int, int]:
    """How many batches, and samples in the smallest one."""
    rest = size % training.batch_size
    whole = size // training.batch_size
    keeps_rest = rest > 0 and (whole == 0 or not training.drop_last)
    smallest = rest if keeps_rest else training.batch_size
    if schedule.batch == "split" and smallest < schedule.count(m):
        raise DataError(
            f"a batch of {smallest} samples cannot be split among {schedule.count(m)} preferences: "
            "raise training.batch_size or lower solver.preferences.per_batch"
        )
    return whole + keeps_rest, smallest
