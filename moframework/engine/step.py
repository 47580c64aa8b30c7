"""One training step: preferences → weights → losses → objective → gradients.

With M preferences a step costs M forward passes over the whole batch (`shared`) or one in all (`split`: the batch is
divided among the preferences). Separable objectives go backward preference by preference and hold one graph at a time;
an objective that joins the preferences needs the graphs of all.

Where a balancing or the objective needs per-task gradients, they are taken with respect to the materialized θ(λ),
combined there, and sent once through the weight space (`engine.gradients`).

This is the plain path, and all of it. What makes it faster stands in for `weights`, `plain` or `execute`: see
`engine.acceleration`. Where several processes share a step, a `Partition` says what is this one's part.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import ClassVar, Protocol

import torch
from attrs import frozen
from torch import Tensor, nn

from moframework.engine.device import Placement
from moframework.engine.gradients import Balanced, TaskGradients, descend_by_task
from moframework.engine.method import Method
from moframework.inputs.trees import Tree, signature, split_samples
from moframework.losses import Loss
from moframework.model import ParetoModel
from moframework.objectives import Scalarization
from moframework.problem.task import Task
from moframework.processes.world import World

__all__ = ["Batch", "Forward", "Partition", "Step"]

Targets = dict[str, Tensor]
Part = tuple[Tree, Targets]
Theta = dict[str, Tensor]

_WEIGHTS_BYTES = 64 * 2**20  # up to this size weights of all preferences of a divided batch are made at once


@frozen
class Batch:
    """A batch and how the M preferences of a step see it.

    Attributes:
        x: inputs (b, …), a tensor or a tree of them, on the device.
        targets: by key, each (b, …).
        count: M.
        split: whether the batch is divided among the preferences, rather than seen whole by each.
    """

    x: Tree
    targets: Targets
    count: int
    split: bool

    def parts(self, rows: range) -> list[Part]:
        """The samples that the preferences of these numbers see."""
        if not self.split or self.count == 1:
            return [(self.x, self.targets)] * len(rows)
        inputs = split_samples(self.x, self.count)
        pieces = {key: value.tensor_split(self.count) for key, value in self.targets.items()}
        return [(inputs[j], {key: value[j] for key, value in pieces.items()}) for j in rows]


@frozen
class Rows:
    """What some preferences contribute: losses (r, m), scales (r, m) of the balancings where there are any, and each
    one's gradients by task where they are asked for."""

    losses: Tensor
    scales: Tensor | None = None
    gradients: tuple[TaskGradients, ...] = ()


class Partition:
    """This process's part of a step with M preferences: those of its rank, on the whole batch; in a single process all
    of them. Where ranks share the samples instead: `engine.distributed.partition`.

    Args:
        world: the processes that share the step; None: this one alone.
    """

    shards_batch: ClassVar[bool] = False
    """Whether ranks see different samples of a batch."""
    item_seed: tuple[int, ...] = ()
    """What tells the random numbers of this rank's samples from those of others."""

    def __init__(self, world: World | None = None) -> None:
        self.world = World() if world is None else world

    @property
    def shared(self) -> bool:
        """Whether several processes share a step."""
        return self.world.size > 1

    def local_preferences(self, count: int) -> range:
        """Which of `count` preferences this rank runs."""
        return self.world.local_range(count)

    def gradient_scale(self, rows: int, count: int) -> float:
        """What this rank multiplies the gradients of its `rows` of `count` preferences by: gradients are averaged over
        ranks, so the number of those where it alone has them."""
        return 1.0 if rows == count else float(self.world.size)

    def gather_rows(self, rows: Tensor, count: int) -> Tensor:
        """The rows of all `count` preferences, from those of this rank's; already all where it has as many."""
        return rows if len(rows) == count else self.world.all_gather_rows(rows, count)

    def reduce_statistics(self, statistics: Sequence[Tensor], apart: bool = False) -> list[Tensor]:
        """Statistics of the whole batch, from those of this rank's samples; `apart`: in graphs of their own."""
        return list(statistics)

    def reduce_gradients(self, gradients: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        """Gradients of a loss of the whole batch, from what reached this rank."""
        return gradients

    def objective_rng(self, separable: bool) -> contextlib.AbstractContextManager[None]:
        """Around an objective that may draw at random: all ranks draw the same numbers where it treats the same rows on
        all of them."""
        return contextlib.nullcontext() if separable else self.world.shared_rng()

    def sync_states(self, states: nn.ModuleList) -> None:
        """Make the objective's states the same on all ranks, `states` being those of single preferences where there are
        several: each is broadcast from the rank that runs its preference."""
        if len(states) < 2:
            return
        for rank, local in enumerate(torch.arange(len(states)).tensor_split(self.world.size)):
            for j in local.tolist():
                self.world.broadcast_state(states[j], rank)

    def local_samples(self, order: Tensor, batch_size: int, splits: int) -> tuple[Tensor, int]:
        """This rank's order and batch size, from the order of all samples of an epoch (k,), whole batches first, and
        the whole batch size; `splits` are the parts that each batch is divided into, of each of which it needs its
        share. The number of batches is that of the whole."""
        return order, batch_size


class Forward(Protocol):
    """What stands in for `Step.plain`: from preferences to losses."""

    joins: bool
    """Whether it takes all preferences of a step at once, so that they go backward together."""

    def takes(self, batch: Batch) -> bool:
        """Whether it is for batches of this shape; asked once a shape."""

    def __call__(self, preferences: Tensor, batch: Batch, rows: range) -> Tensor:
        """Losses (r, m), differentiable, of the r preferences of these numbers, each on its part of the batch."""


class Step:
    """Computes losses and leaves gradients in the parameters of a model; takes no optimizer step.

    Args:
        partition: this process's part of a step, where several share it.

    Attributes:
        weights: preferences (r, m) → r parameter dicts θ(λ_j).
        joined: whether all preferences go backward together.
        minimized: the loss of each task.
        forwards: stand-ins for `plain`, asked in this order.
        execute: `run`, or what stands in for it.
        note: told in a sentence what is decided on the way.
        state: state of the balancings, by position, kept between steps and in checkpoints.
        objective_states: state of the objective: a module for each preference of a step where the objective is
            separable, else one; empty where it has no state.
    """

    def __init__(
        self,
        model: ParetoModel,
        tasks: tuple[Task, ...],
        method: Method,
        place: Placement,
        partition: Partition | None = None,
    ) -> None:
        self.partition = Partition() if partition is None else partition
        self.model, self.tasks, self.method, self.place = model, tasks, method, place
        m, r, objective = len(tasks), method.preferences.count(len(tasks)), method.objective
        self.state = [
            {key: value.to(place.device) for key, value in balancing.initial_state(m).items()}
            for balancing in method.balancing
        ]
        sizes = [1] * r if objective.separable else [r]
        states = [state for state in (objective.build(m, count) for count in sizes) if state is not None]
        self.objective_states = nn.ModuleList(states).to(place.device)
        self.per_task = method.needs_task_gradients
        self.joined = not objective.separable or self._in_one_graph(m, r)
        self.weights: Callable[[Tensor], list[Theta]] = model.space.weights_of
        self.forwards: list[Forward] = []
        self.execute: Callable[..., Tensor] = self.run
        self.note: Callable[[str], None] = lambda words: None
        self._chosen: dict[tuple[Hashable, int], Forward | None] = {}
        self.minimized = [task.loss if method.loss is None else method.loss for task in tasks]
        self._asked = [(loss, t.output_key, t.target_key) for loss, t in zip(self.minimized, tasks, strict=True)]
        # A finite space looks up which network is meant, on the host; all others compute with the numbers.
        self._on_host = model.space.anchors() is not None
        self._call = model.network.call
        self._autocast = contextlib.nullcontext if place.autocast_dtype is None else place.autocast

    @torch.no_grad()
    def _in_one_graph(self, m: int, r: int) -> bool:
        """Whether the preferences of a divided batch go backward together: all graphs are then as large as one of the
        whole batch, and with small networks one pass back costs less than several."""
        if self.method.preferences.batch != "split" or self.per_task or len(self.objective_states):
            return False
        theta = self.model.weights(torch.full((m,), 1 / m))
        return r * sum(value.numel() * value.element_size() for value in theta.values()) <= _WEIGHTS_BYTES

    def run(
        self,
        x: Tree,
        targets: Targets,
        preferences: Tensor,
        scale: Tensor | None = None,
        on_device: Tensor | None = None,
    ) -> Tensor:
        """Accumulate the gradient of the step's objective.

        Args:
            x, targets: the batch, or this process's samples of it, on the device.
            preferences: Λ (M, m), on the host.
            scale: factor of the objective against underflow in fp16, or None.
            on_device: the preferences on the device, where they are there already.

        Returns:
            the unscaled losses (M, m), detached, on the device; nothing is read back to the host, unless the objective
            solves its problem there.
        """
        if on_device is None:
            on_device = preferences.to(self.place.device, non_blocking=True)
        given = preferences if self._on_host else on_device
        batch = Batch(x, targets, len(preferences), self.method.preferences.batch == "split")
        own, forward = self.partition.local_preferences(batch.count), self._forward(batch)
        joined = self.joined or (forward is not None and forward.joins)
        share = 1.0 if joined else self.partition.gradient_scale(len(own), batch.count) / batch.count
        losses: list[Tensor] = []
        for rows in [own] if joined else [range(j, j + 1) for j in own]:
            found = self._rows(given[rows.start : rows.stop], batch, rows, forward, scale)
            losses.append(found.losses.detach())
            of_group = on_device if joined else on_device[rows.start : rows.stop]
            with self.partition.objective_rng(not joined):
                self._descend(found, of_group, share, scale, self._state(0 if joined else rows.start))
        self._descend_penalty(on_device, scale)
        result = self.partition.gather_rows(losses[0] if len(losses) == 1 else torch.cat(losses), batch.count)
        self.state = [
            balancing.updated(state, result) for balancing, state in zip(self.method.balancing, self.state, strict=True)
        ]
        return result

    def plain(self, preferences: Tensor, batch: Batch, rows: range) -> Tensor:
        """Losses (r, m) of r preferences: θ(λ), and the network with it, one after the other."""
        return stacked(self.losses_of(preferences, batch.parts(rows)))

    def losses_of(self, preferences: Tensor, parts: Sequence[Part]) -> list[Tensor]:
        """Losses (m,) of each preference on its part of a batch."""
        pairs = zip(self.weights(preferences), parts)  # noqa: B905  (torch 2.9 does not compile strict=True)
        return [self.losses(theta, *part) for theta, part in pairs]

    def losses(self, theta: Theta, x: Tree, targets: Targets) -> Tensor:
        """Losses (m,) of the network with given weights."""
        return torch.stack(self.losses_by_task(theta, x, targets))

    def losses_by_task(self, theta: Theta, x: Tree, targets: Targets) -> list[Tensor]:
        """The same, apart: of a row of a matrix autograd gives zeros, not None, for what only other rows reach."""
        given = self.given(self.outputs(theta, x), targets)
        if not self.partition.shards_batch:
            return [loss(output, target) for loss, output, target in given]
        sums = [loss.statistics(output, target).sum(dim=0) for loss, output, target in given]
        totals = self.partition.reduce_statistics(sums, apart=self.per_task)
        return [loss.finish(total) for (loss, _, _), total in zip(given, totals, strict=True)]

    def outputs(self, theta: Theta, x: Tree) -> dict[str, Tensor]:
        """What the network says, by output key."""
        with self._autocast():
            return self._call(theta, x)

    def given(self, outputs: dict[str, Tensor], targets: Targets) -> list[tuple[Loss, Tensor, Tensor]]:
        """The loss of each task with what it takes."""
        return [(loss, outputs[output], targets[target]) for loss, output, target in self._asked]

    def replace_forwards(self, forwards: list[Forward]) -> None:
        """Ask other stand-ins for `plain` from now on."""
        self.forwards, self._chosen = forwards, {}

    def _forward(self, batch: Batch) -> Forward | None:
        """The first stand-in that takes batches of this shape; None for the plain way."""
        if not self.forwards:
            return None
        key = signature(batch.x), batch.count
        if key not in self._chosen:
            self._chosen[key] = next((forward for forward in self.forwards if forward.takes(batch)), None)
        return self._chosen[key]

    def _rows(
        self, preferences: Tensor, batch: Batch, rows: range, forward: Forward | None, scale: Tensor | None
    ) -> Rows:
        """What some preferences contribute, each on its part of the batch."""
        if self.per_task:
            parts = zip(preferences, batch.parts(rows), strict=True)
            return _together([self._by_task(preference, *part, scale) for preference, part in parts])
        own = self.model.space.own_losses(preferences) if self.model.space.makes_losses else None
        losses = (self.plain if forward is None else forward)(preferences, batch, rows) if own is None else own
        if not self.method.balancing:
            return Rows(losses)
        return Rows(losses, torch.stack([self._scales(row.detach(), None) for row in losses.unbind()]))

    def _by_task(self, preference: Tensor, x: Tree, targets: Targets, scale: Tensor | None) -> Rows:
        """One preference's losses with the gradient of each over θ(λ)."""
        gradients = TaskGradients(self.model.weights(preference), self.place.device, scale)
        take = gradients.take_halves if self.method.objective.needs_halves else gradients.take_batch
        losses = take(partial(self.losses_by_task, gradients.leaves), x, targets, self.partition.reduce_gradients)
        scales = self._scales(losses, gradients).unsqueeze(0) if self.method.balancing else None
        return Rows(losses.unsqueeze(0), scales, (gradients,))

    def _scales(self, losses: Tensor, gradients: TaskGradients | None) -> Tensor:
        """Factors (m,) of all balancings for one preference."""
        scales = torch.ones_like(losses)
        needed = any(balancing.needs_gradients for balancing in self.method.balancing)
        norms = gradients.norms() if needed and gradients is not None else None
        for balancing, state in zip(self.method.balancing, self.state, strict=True):
            seen = None if norms is None else norms * scales
            scales = scales * balancing.scales(losses * scales, seen, state)
        return scales

    def _descend(
        self, rows: Rows, preferences: Tensor, share: float, scale: Tensor | None, state: nn.Module | None
    ) -> None:
        """Gradients of the mean over `preferences` of the objective, times `share`, and `scale` where there is one;
        `rows` are those of this process."""
        count, objective = len(preferences), self.method.objective
        losses = self.partition.gather_rows(rows.losses, count)
        scales = None if rows.scales is None else self.partition.gather_rows(rows.scales, count)
        factor = share if scale is None else share * scale
        if self.per_task:
            balanced = Balanced(losses, torch.ones_like(losses) if scales is None else scales, preferences, state)
            descend_by_task(objective, rows.gradients, balanced, factor, self.partition)
            return
        assert isinstance(objective, Scalarization), "all others need gradients of single tasks"
        value = objective.total(losses, preferences, scales, state)
        (value * factor if scale is not None or share != 1 else value).backward()  # type: ignore[no-untyped-call]

    def _descend_penalty(self, preferences: Tensor, scale: Tensor | None) -> None:
        space, objective = self.model.space, self.method.objective
        with self.partition.objective_rng(False):
            state = None if objective.separable else self._state(0)
            for penalty in (space.penalty(), objective.of_embeddings(space.embedded, preferences, state)):
                if penalty is not None:
                    (penalty if scale is None else penalty * scale).backward()  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def review(self, x: Tree, targets: Targets, preferences: Tensor, losses: Tensor) -> None:
        """Show the objective what the optimizer's step did to the losses of a batch, where it wants to know.

        Args:
            x, targets, preferences: as `run` had them.
            losses: what `run` returned.
        """
        objective = self.method.objective
        if not objective.reviews:
            return
        batch = Batch(x, targets, len(preferences), self.method.preferences.batch == "split")
        own = self.partition.local_preferences(batch.count)
        # One by one, on any number of ranks: what changed by rounding alone is no change.
        parts = zip(own, batch.parts(own), strict=True)
        found = stacked([self.losses(self.model.weights(preferences[j]), *part) for j, part in parts])
        after = self.partition.gather_rows(found, batch.count)
        if not objective.separable:
            objective.review(losses, after, self._state(0))
            return
        for j in own:
            objective.review(losses[j : j + 1], after[j : j + 1], self._state(j))

    def progressed(self, progress: float) -> None:
        """Tell the weight space and the objective of the share of the training that is done after the next step."""
        self.model.space.progressed(progress)
        for state in self.objective_states:
            self.method.objective.progressed(progress, state)

    def epoch_ended(self) -> None:
        """Tell the objective that an epoch has ended."""
        for state in self.objective_states:
            self.method.objective.epoch_ended(state)

    def _state(self, j: int) -> nn.Module | None:
        return self.objective_states[j] if len(self.objective_states) else None


def _together(rows: Sequence[Rows]) -> Rows:
    scales = [each.scales for each in rows if each.scales is not None]
    gradients = tuple(one for each in rows for one in each.gradients)
    return Rows(torch.cat([each.losses for each in rows]), torch.cat(scales) if scales else None, gradients)


def stacked(rows: Sequence[Tensor]) -> Tensor:
    """The rows as a matrix; of one a view, which costs less."""
    return rows[0].unsqueeze(0) if len(rows) == 1 else torch.stack(list(rows))
