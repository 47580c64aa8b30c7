"""The training loop: batches, optimizer steps, and the state that a checkpoint holds.

It knows parts and contracts, no solver and no problem by name. Randomness of a step is a function of (seed, step)
alone, and the order of samples of (seed, epoch): a training that was killed and resumed takes the same steps as one
that was not, bit for bit on the CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from moframework.augmentations import augmented
from moframework.data import Batch, arranged, batches, epoch_order, epoch_size
from moframework.data.device_cache import resident
from moframework.engine.acceleration import accelerate
from moframework.engine.distributed.optimizer_sharding import OptimizerSharding, make_sharding
from moframework.engine.distributed.sync_batchnorm import BufferSync
from moframework.engine.events import Observer, Progress
from moframework.engine.extensions import extend
from moframework.engine.job import Job, optimizer_groups, plan_partition, steps_per_epoch
from moframework.engine.step import Step
from moframework.errors import SpecError
from moframework.inputs.trees import Tree
from moframework.optim import Schedulers
from moframework.processes.world import World
from moframework.seeding import derive_seed

__all__ = ["Clock", "Hook", "Loop"]

# Distinct purposes of random numbers drawn from one seed.
_STEP, _EPOCH, _AUGMENTATION = 1, 2, 3
# Steps whose preferences are drawn at once.
_AHEAD = 64


class Clock:
    """Seconds and processor seconds spent in training steps; what lies between a `lap` and `restart` is left out."""

    def __init__(self) -> None:
        self.seconds, self.processor_seconds = 0.0, 0.0
        self.restart()

    def restart(self) -> None:
        """Leave out what happened since the last lap."""
        self._since, self._since_processor = time.perf_counter(), time.process_time()

    def lap(self) -> float:
        """Count the seconds since the last lap or restart, and return them."""
        spent = time.perf_counter() - self._since
        self.seconds += spent
        self.processor_seconds += time.process_time() - self._since_processor
        self.restart()
        return spent


class Hook:
    """Something that happens after steps: at milestones, or after each one. Every method does nothing here."""

    every_step: ClassVar[bool] = False
    """Whether it is called after each step, rather than where an epoch or the training ends, or a checkpoint is due."""

    def after_step(self, loop: Loop) -> None:
        """A step was taken: `loop.done` counts it, `loop.losses` and `loop.preferences` are its own."""

    def state(self) -> dict[str, Any]:
        """Its part of a checkpoint, by keys of its own."""
        return {}

    def load(self, loop: Loop, state: dict[str, Any]) -> None:
        """Go on from a checkpoint, which holds the parts of all."""

    def finished(self, loop: Loop) -> None:
        """Training is over."""


class Loop:
    """One training in progress: its state, and the step.

    Args:
        world: the processes that train together.

    Attributes:
        data: the training samples where `batches` has them, once it has begun.
        done, steps, per_epoch: steps taken, in all, and of an epoch.
        hooks: called in this order after each step, or at milestones (`Hook.every_step`).
        stopping: somebody asked to stop after this step.
        out_of_patience: validation has not improved for too long.
        losses, preferences: of the last step, both (M, m); the losses on the device.
        best_hypervolume: of the validations so far, or None.
        sync_buffers: makes the model's buffers the same on all processes, to be evaluated or saved.
        compile_seconds: what compiling took in this process, where something was compiled.
        skipped_steps: steps so far that changed nothing, because their numbers were not finite; see `skipping`.
    """

    def __init__(self, job: Job, observer: Observer | None = None, world: World | None = None) -> None:
        model, training, place = job.model, job.training, job.place
        self.job, self.model, self.training = job, model, training
        self.observer = Observer() if observer is None else observer
        self.world = World() if world is None else world
        self.m, self.schedule = len(job.problem.tasks), job.method.preferences
        size = epoch_size(job.data, training.batch_size)
        self.per_epoch = steps_per_epoch(size, training, self.schedule, self.m)
        self.steps, self.done, self.skipped_steps = training.budget(self.per_epoch), 0, 0
        self.partition = plan_partition(self.world, size, training, self.schedule, self.m)
        self.sharded, self.sync_buffers = self._shard_parameters(), BufferSync(model, self.world)
        groups, lr = optimizer_groups(model.space, training, self.m), training.optimizer.lr
        self.step = Step(model, job.problem.tasks, job.method, place, self.partition)
        self.step.note = self.observer.noted
        extend(self.step, training)
        self.choices = accelerate(self.step, training)
        learned: list[Tensor] = list(self.step.objective_states.parameters())
        if learned:
            groups = [*groups, {"name": "objective", "params": learned, "lr": lr}]
        self.parameters: list[Tensor] = [p for group in groups for p in group["params"]]
        # FSDP averages the gradients of its shards itself.
        self._averaged = self.parameters if self.sharded is None else learned
        self._clip = torch.nn.utils.clip_grad_norm_ if self.sharded is None else self.sharded.clip_gradients
        sharding, options = self._sharding(groups), training.optimizer
        self.optimizer = sharding.build(options, place.device) if sharding else options.build(groups, place.device)
        row = training.schedulers
        self.scheduler = Schedulers(row, self.optimizer, self.steps, self.per_epoch) if row else None
        self.scaler = torch.amp.GradScaler(place.device.type, enabled=place.autocast_dtype is torch.float16)
        self.clock, self.hooks = Clock(), list[Hook]()
        self.stopping = self.out_of_patience = False
        self.best_hypervolume: float | None = None
        self.compile_seconds: float | None = None
        self._listening = self.observer.listens("stepped")
        self.draw_by(self.schedule.draw)

    @property
    def progress(self) -> Progress:
        """How far training is."""
        return Progress(
            step=self.done, steps=self.steps, epoch=self.done / self.per_epoch, epochs=self.steps / self.per_epoch,
            seconds=self.clock.seconds, processor_seconds=self.clock.processor_seconds,
        )  # fmt: skip

    @property
    def at_epoch_end(self) -> bool:
        """Whether the last step was the last of an epoch."""
        return self.done % self.per_epoch == 0

    @property
    def at_end(self) -> bool:
        """Whether no step is left."""
        return self.done >= self.steps

    @property
    def ends(self) -> bool:
        """Whether the step that was taken is the last one of this process."""
        return self.at_end or self.stopping or self.out_of_patience

    def batches(self) -> Iterator[Batch]:
        """Batches for the steps to come, epoch after epoch, on the device and as the network reads them."""
        training, place, split = self.training, self.job.place, self.schedule.batch == "split"
        data = self.data = resident(self.job.data, training.resident, place.device, training.workers)
        groups = self.schedule.count(self.m) if split else 1
        while not self.at_end and not self.out_of_patience:
            epoch, skip = divmod(self.done, self.per_epoch)
            own, own_size = self.partition.local_samples(self.order(epoch), training.batch_size, groups)
            self.clock.restart()
            for x, targets in batches(
                data, own_size, order=own, device=place.device, workers=training.workers, skip=skip,
                seed=(self.job.seed, epoch, *self.partition.item_seed),
            ):  # fmt: skip
                yield self.ready(x, targets)

    def order(self, epoch: int) -> Tensor:
        """Samples of an epoch, by their place in the training split, one batch after the other; of all processes."""
        shuffler = torch.Generator().manual_seed(derive_seed(self.job.seed, _EPOCH, epoch))
        order = epoch_order(self.job.data, self.training.batch_size, shuffler)
        return order[: self.per_epoch * self.training.batch_size]

    def train_step(self, x: Tree, targets: dict[str, Tensor]) -> None:
        """One optimizer step on one batch, and the hooks after it. The step reads nothing back from the device (fp16's
        scaler looks for overflow); hooks do, where they are due."""
        self.began = time.perf_counter()
        self.world.seed(derive_seed(self.job.seed, _STEP, self.done))  # dropout and the like
        preferences = self._preferences()
        self.step.progressed((self.done + 1) / self.steps)
        for parameter in self.parameters:  # the optimizer's own way takes as long as a small layer
            parameter.grad = None
        scale = self.scaler.scale(torch.ones((), device=self.job.place.device)) if self.scaler.is_enabled() else None
        losses = self.step.execute(x, targets, preferences, scale)
        self._update()
        self.step.review(x, targets, preferences, losses)
        self.done += 1
        if self.at_epoch_end:
            self.step.epoch_ended()
        if self.scheduler is not None and (self.scheduler.by_step or self.at_epoch_end):
            self.scheduler.step()
        self.losses, self.preferences = losses, preferences
        if self._listening:
            self.observer.stepped(self.progress)
        for hook in self.hooks:
            if hook.every_step or self._at_milestone():
                hook.after_step(self)

    def draw_by(self, draw: Callable[[float, int, int, torch.Generator], Tensor]) -> None:
        """Draw the preferences of the steps to come by `draw`, as `Schedule.draw`."""
        self._draw, self._drawn = draw, dict[int, Tensor]()

    def unshard(self) -> None:
        """Give every process the whole model; training is over."""
        if self.sharded is not None:
            self.model.replace_space(self.sharded.unsharded(), None)

    def _at_milestone(self) -> bool:
        every = self.training.checkpoint_every
        return self.at_epoch_end or self.ends or (every is not None and self.done % every == 0)

    def ready(self, x: Tree, targets: dict[str, Tensor]) -> Batch:
        """A batch augmented, in the memory order of the training."""
        problem = self.job.problem
        if problem.augmentation:
            value = derive_seed(self.job.seed, _AUGMENTATION, self.done)
            for number in self.partition.item_seed:  # processes that see different samples change them differently
                value = derive_seed(value, _AUGMENTATION, number + 1)
            own = torch.Generator().manual_seed(value)
            x, targets = augmented(problem.augmentation, x, targets, problem.maps, own, self.done / self.steps)
        return arranged(x, self.job.place.memory_format), targets

    def _preferences(self) -> Tensor:
        """Those of the step to come (M, m), on the host. Drawn for some steps ahead, each from its own random numbers:
        what a step draws depends on its number alone, and one after the other takes half as long as between steps."""
        if self.done not in self._drawn:
            self._drawn.clear()
            for step in range(self.done, min(self.done + _AHEAD, self.steps)):
                own = torch.Generator().manual_seed(derive_seed(self.job.seed, _STEP, step))
                self._drawn[step] = self._draw((step + 1) / self.steps, self.schedule.count(self.m), self.m, own)
        return self._drawn[self.done]

    def _update(self) -> None:
        """The optimizer's step with the gradients of all processes."""
        clip = self.training.clip_gradient_norm
        self.world.average_gradients(self._averaged)
        if clip is not None:
            self.scaler.unscale_(self.optimizer)
            self._clip(self.parameters, clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def _shard_parameters(self) -> Any:
        """The model's weight space in shards, where the spec asks for it; else None."""
        if self.world.size == 1 or self.training.distributed.parameters != "sharded":
            return None
        from moframework.engine.distributed.fsdp import shard_parameters

        if self.job.method.needs_task_gradients:
            raise SpecError(
                "training.distributed.parameters: sharded does not go with objectives and balancings that need the "
                "gradient of every task, which is as large as the network; use replicated"
            )
        return shard_parameters(self.model, self.job.place.device)

    def _sharding(self, groups: list[dict[str, Any]]) -> OptimizerSharding | None:
        """What lets the optimizer step shards of parameters; None where it steps them whole."""
        if self.sharded is None:
            return make_sharding(groups, self.training, self.world)
        from moframework.engine.distributed.fsdp_checkpoint import FullySharded

        return FullySharded(groups, self.sharded)
