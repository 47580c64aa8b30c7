"""Before each step, a further batch for an objective that learns from one (`Objective.look_ahead`).

Its samples come from the training split: from a part that is set aside for it (`Job.held_out`), else from all of it, in
an order of its own. Which ones a step sees depends on its number alone, so that nothing of it has to be saved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import cast

import torch
from torch import Tensor

from moframework.data import Batch as Samples
from moframework.data import Dataset, batches, epoch_order
from moframework.data.device_cache import resident
from moframework.engine.loop import Hook, Loop
from moframework.engine.step import Batch
from moframework.errors import SpecError
from moframework.inputs.trees import Tree
from moframework.model.buffers import buffers_kept
from moframework.objectives.look_ahead import LookAhead
from moframework.seeding import derive_seed

__all__ = ["HeldOut"]

# What tells the random numbers of these batches from those of steps.
_HELD_OUT = 8


class HeldOut(Hook):
    """Stands in for `Step.execute`: lets the objective look ahead, and then takes the step.

    Raises:
        SpecError: several processes train together, or there are fewer samples than preferences to divide them among.
    """

    def __init__(self, loop: Loop) -> None:
        job, training = loop.job, loop.training
        self.loop, self.step, self.execute = loop, loop.step, loop.step.execute
        if loop.world.size > 1:
            raise SpecError(
                "solver.objective: learns from a further batch of samples, which training with several processes does "
                "not give it: use one process"
            )
        self.data: Dataset | None = None  # as the loop has it
        if job.held_out is not None:
            self.data = resident(job.held_out, training.resident, job.place.device, training.workers)
        count = len(cast(Sized, job.data if self.data is None else self.data))
        self.size = min(training.batch_size, count)
        self.per_epoch = count // self.size
        parts = loop.schedule.count(loop.m) if loop.schedule.batch == "split" else 1
        if self.size < parts:
            raise SpecError(
                f"solver.objective.held_out: {count} samples cannot be divided among {parts} preferences: raise it, or "
                "lower solver.preferences.per_batch"
            )
        self.coming: Iterator[Samples] = iter(())
        self.next: int | None = None
        loop.step.execute = self._executed

    def _executed(
        self, x: Tree, targets: dict[str, Tensor], preferences: Tensor, scale: Tensor | None = None
    ) -> Tensor:
        """As `Step.run`, after the objective has looked ahead."""
        step, split = self.step, self.loop.schedule.batch == "split"
        own = range(len(preferences))
        seen = [Batch(*samples, len(own), split).parts(own) for samples in ((x, targets), self._batch())]
        on_device = preferences.to(step.place.device)
        with buffers_kept(step.model):
            for j, part, further in zip(own, *seen, strict=True):
                given = preferences[j] if step.model.space.anchors() is not None else on_device[j]
                state = step.objective_states[j] if len(step.objective_states) else None
                ahead = self._ahead(given, part, further, scale)
                step.method.objective.look_ahead(ahead, on_device[j], state)
        return self.execute(x, targets, preferences, scale)

    def _ahead(self, preference: Tensor, part: Samples, further: Samples, scale: Tensor | None) -> LookAhead:
        """What the objective is given of one preference."""
        step, device = self.step, self.step.place.device
        with torch.no_grad():
            theta = step.model.weights(preference)
        trained = {name: value for name, value in theta.items() if step.model.network.trainable.get(name, False)}

        def losses_on(samples: Samples, at: dict[str, Tensor]) -> Tensor:
            # Other numbers at each pass would be all that a finite difference sees.
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                return step.losses({**theta, **at}, *samples)

        return LookAhead(
            theta=trained,
            losses=lambda at: losses_on(part, dict(at)),
            held_out=lambda at: losses_on(further, dict(at)),
            rate=float(self.loop.optimizer.param_groups[0]["lr"]),
            scale=1.0 if scale is None else float(scale),
        )

    def _batch(self) -> Samples:
        """The further batch of the step to come."""
        done = self.loop.done
        if self.next != done:  # at the start, and after resuming
            self.coming = self._from(done)
        self.next = done + 1
        return self.loop.ready(*next(self.coming))

    def _from(self, step: int) -> Iterator[Samples]:
        """The batches of all steps from this one on."""
        job, training = self.loop.job, self.loop.training
        data = self.loop.data if self.data is None else self.data
        epoch, skip = divmod(step, self.per_epoch)
        while True:
            shuffler = torch.Generator().manual_seed(derive_seed(job.seed, _HELD_OUT, epoch))
            order = epoch_order(data, self.size, shuffler)[: self.per_epoch * self.size]
            yield from batches(
                data, self.size, order=order, device=job.place.device, workers=training.workers, skip=skip,
                seed=(job.seed, _HELD_OUT, epoch),
            )  # fmt: skip
            epoch, skip = epoch + 1, 0
