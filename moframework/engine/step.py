"""One training step: preferences → weights → losses → objective → gradients.

With M preferences a step costs M forward passes over the whole batch (`shared`) or one pass in all (`split`: the
batch is divided among the preferences). Separable objectives run backward preference by preference and hold one
graph at a time; where the batch is divided, all graphs together are no larger than one of the whole batch, and with
small networks the step goes backward once. Where the weight space can give every piece its own weights and the network
mixes no samples, the batch is not divided at all (`undivided`): one pass does for all preferences, each layer finds the
way for its pieces that costs least, and only the outputs are told apart.

An objective that joins the preferences needs all their graphs, unless each is to be made again (`recompute`).

Where a balancing or the objective needs per-task gradients, the forward pass is shared: gradients are taken with
respect to the materialized θ(λ), combined there, and sent once through the weight space.

Where several processes share a step, a `Partition` says what is this one's part; see there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from attrs import frozen
from torch import Tensor, nn

from moframework.engine.acceleration.activation_checkpoint import WeightsAgain, recomputed
from moframework.engine.acceleration.single_pass import undivided
from moframework.engine.device import Placement
from moframework.engine.distributed.partition import BySamples, Partition
from moframework.engine.distributed.world import Alone
from moframework.engine.gradients import TaskGradients
from moframework.engine.method import Method
from moframework.errors import SpecError
from moframework.losses import Loss, piece_sums
from moframework.model import ParetoModel
from moframework.objectives import Aggregation, Scalarization, Weighting
from moframework.problem.task import Task

__all__ = ["Step"]

Targets = dict[str, Tensor]
Part = tuple[Tensor, Targets]

# Up to this many bytes the weights of all preferences of a divided batch are made at once; for larger networks it is
# not worth the memory.
_WEIGHTS_BYTES = 64 * 2**20


@frozen
class _Row:
    """What one preference contributed: losses (m,), scales (m,) of the balancings where there are any, gradients where
    asked for."""

    losses: Tensor
    scales: Tensor | None
    gradients: TaskGradients | None


class Step:
    """Computes losses and leaves gradients in the parameters of a model; takes no optimizer step.

    Args:
        recompute: make the graph of each preference again when going backward, where otherwise those of all preferences
            would be held; or, "weights", the weights alone, in any case.

    Attributes:
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
        recompute: bool | str = False,
    ) -> None:
        self.partition = BySamples(Alone()) if partition is None else partition
        self.model = model
        self.tasks = tasks
        self._asked = [(task.loss, task.output_key, task.target_key) for task in tasks]
        self.method = method
        self.place = place
        m, r = len(tasks), method.preferences.count(len(tasks))
        self.state = [
            {key: value.to(place.device) for key, value in balancing.initial_state(m).items()}
            for balancing in method.balancing
        ]
        objective = method.objective
        rows = [1] * r if objective.separable else [r]
        states = [state for state in (objective.build(m, count) for count in rows) if state is not None]
        self.objective_states = nn.ModuleList(states).to(place.device)
        self._per_task = any(balancing.needs_gradients for balancing in method.balancing) or not isinstance(
            objective, Scalarization
        )
        splits = method.preferences.batch == "split" and not self._per_task
        divided = splits and not states
        self._together = not objective.separable or (divided and r * _size(model, m) <= _WEIGHTS_BYTES)
        # Where each preference goes backward on its own, one graph is all that is held.
        self._recompute = recompute is True and self._together and not self._per_task
        again = recompute == "weights" and not self._per_task
        self._weights_again = WeightsAgain(model.space, m) if again else None
        one_pass = splits and (divided or not objective.separable) and not recompute
        self._undivided = undivided(model, m, self.partition.world.size) if one_pass else None
        # What leads from preferences to losses is one function, whose graph is kept.
        self._whole = not self._per_task and not self._recompute
        self._rows: Callable[[Tensor, Sequence[Part]], list[Tensor]] = self._rows_of
        if self._recompute and self.partition.parts_batch and self.partition.world.size > 1:
            raise SpecError(
                "training.recompute works with several processes only where each runs its preferences on the whole "
                "batch: set training.distributed.preferences to spread, or recompute to false"
            )

    def run(
        self,
        x: Tensor,
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
        # A finite space looks up which network is meant; all others compute with the numbers.
        given = on_device if self.model.space.anchors() is None else preferences
        count, own = len(preferences), self.partition.own(len(preferences))
        share = self.partition.weight(len(own), count) / count
        in_one = self._goes_undivided(x, count)
        together = self._together or in_one
        parts = [] if in_one else self._parts(x, targets, count)
        losses: list[Tensor] = []
        rows: list[_Row] = []
        # All graphs that one backward pass goes through are made at once, so that their weights are; no others.
        for group in [own] if together else [range(j, j + 1) for j in own]:
            chosen = given[group.start : group.stop]
            if in_one:
                rows = self._balanced(self._undivided_rows(chosen, x, targets, count))
            else:
                rows = self._forward(chosen, parts[group.start : group.stop], scale)
            losses += [row.losses.detach() for row in rows]
            if not together:
                with self.partition.deciding(True):
                    self._backward(rows, on_device[group.start : group.stop], share, scale, self._state(group.start))
        with self.partition.deciding(False):
            if together and rows:
                self._backward(rows, on_device, 1.0, scale, self._state(0))
            penalty = self.model.space.penalty()
            if penalty is not None:
                _times(penalty, 1.0, scale).backward()  # type: ignore[no-untyped-call]
        result = self.partition.matrix(_stacked(losses), count)
        self.state = [
            balancing.updated(state, result) for balancing, state in zip(self.method.balancing, self.state, strict=True)
        ]
        return result

    @torch.no_grad()
    def review(self, x: Tensor, targets: Targets, preferences: Tensor, losses: Tensor) -> None:
        """Show the objective what the optimizer's step did to the losses of a batch, where it wants to know.

        Args:
            x, targets, preferences: as `run` had them.
            losses: what `run` returned.
        """
        objective = self.method.objective
        if not objective.reviews:
            return
        count, own = len(preferences), self.partition.own(len(preferences))
        parts = self._parts(x, targets, count)
        rows = torch.stack([self._losses(self.model.weights(preferences[j]), *parts[j]) for j in own])
        after = self.partition.matrix(rows, count)
        if not objective.separable:
            objective.review(losses, after, self._state(0))
            return
        for j in own:
            objective.review(losses[j : j + 1], after[j : j + 1], self._state(j))

    def epoch_ended(self) -> None:
        """Tell the objective that an epoch has ended."""
        for state in self.objective_states:
            self.method.objective.epoch_ended(state)

    def settle(self) -> None:
        """Make the state the same on all processes, to be saved."""
        self.partition.settle(self.objective_states)

    def _state(self, j: int) -> nn.Module | None:
        return self.objective_states[j] if len(self.objective_states) else None

    def _parts(self, x: Tensor, targets: Targets, count: int) -> list[Part]:
        """The samples that each preference sees."""
        if self.method.preferences.batch == "shared" or count == 1:
            return [(x, targets)] * count
        pieces = {key: value.tensor_split(count) for key, value in targets.items()}
        return [
            (piece, {key: value[j] for key, value in pieces.items()}) for j, piece in enumerate(x.tensor_split(count))
        ]

    def compile(self, mode: str | None = None) -> None:
        """From now on let `torch.compile` run what leads from preferences to losses, θ(λ) included; where gradients of
        single tasks are needed, or a graph is made again, only the network.

        Args:
            mode: as `ParetoModel.compile_network` takes it.

        Raises:
            SpecError: the network cannot be compiled, or its weights are to be made again.
        """
        if self._weights_again is not None:
            raise SpecError("training.compile: what is compiled keeps its weights; use false, or recompute: false")
        self.model.compile_network(mode)
        self._undivided = None
        if self._whole and self.partition.world.size == 1:
            self._rows = torch.compile(self._rows_of, mode=mode)

    @contextlib.contextmanager
    def uncompiled(self) -> Iterator[None]:
        """While inside, nothing of the step is compiled."""
        compiled, self._rows = self._rows, self._rows_of
        try:
            with self.model.uncompiled():
                yield
        finally:
            self._rows = compiled

    def _rows_of(self, preferences: Tensor, parts: Sequence[Part]) -> list[Tensor]:
        """Losses (m,) of each preference on its part of the batch."""
        again, space = self._weights_again, self.model.space
        if again is not None:
            # One after the other: nothing of one's weights is left when the next one's are made.
            found = [self._losses(again.weights(each), *part) for each, part in zip(preferences, parts, strict=True)]
            return found
        compiled = torch.compiler.is_compiling() or self.model.compiles
        thetas = space.weights_of(preferences) if compiled else space.weights_for_pass(preferences)
        return [self._losses(theta, *part) for theta, part in zip(thetas, parts, strict=True)]

    def _forward(self, preferences: Tensor, parts: Sequence[Part], scale: Tensor | None) -> list[_Row]:
        """What some preferences contribute, each on its part of the batch."""
        if self._per_task:
            return [self._with_gradients(p, *part, scale) for p, part in zip(preferences, parts, strict=True)]
        if self._recompute:
            found = [self._made_again(p, *part) for p, part in zip(preferences, parts, strict=True)]
        else:
            found = self._rows(preferences, parts)
        return self._balanced(found)

    def _balanced(self, found: Sequence[Tensor]) -> list[_Row]:
        """Losses (m,) of some preferences, with their scales."""
        return [_Row(losses, self._scales(losses, None), None) for losses in found]

    def _goes_undivided(self, x: Tensor, count: int) -> bool:
        """Whether a batch divided among `count` preferences goes through the network in one pass; alike in all
        processes, whose shares of a batch may differ by a sample."""
        if self._undivided is None or count == 1:
            return False
        alone_on_cpu = self.place.device.type == "cpu" and self.partition.world.size == 1
        return not alone_on_cpu or self._undivided.pays(x, count)

    def _undivided_rows(self, preferences: Tensor, x: Tensor, targets: Targets, count: int) -> Sequence[Tensor]:
        """What `_rows_of` gives, in one pass over the samples of this process's preferences, which are of `count`."""
        own = self.partition.own(count)
        sizes = [len(piece) for piece in x.tensor_split(count)]
        if len(own) < count:
            start, stop = sum(sizes[: own.start]), sum(sizes[: own.stop])
            x, targets = x[start:stop], {key: value[start:stop] for key, value in targets.items()}
            sizes = sizes[own.start : own.stop]
        assert self._undivided is not None, "asked before"
        weights = self._undivided.weights(preferences, sizes)
        with self.place.autocast():
            outputs = self.model.call(weights, x)
        given = self._given(outputs, targets)
        if self.partition.world.size == 1 or not self.partition.parts_batch:
            losses = [loss.by_piece(output, target, sizes) for loss, output, target in given]
        else:
            sums = [piece_sums(loss.statistics(output, target), sizes) for loss, output, target in given]
            totals = self.partition.totals(sums)
            losses = [task.loss.finish(total) for task, total in zip(self.tasks, totals, strict=True)]
        return torch.stack(losses, dim=1).unbind()

    def _with_gradients(self, preference: Tensor, x: Tensor, targets: Targets, scale: Tensor | None) -> _Row:
        weights = self.model.weights(preference)
        leaves = {name: value.detach().requires_grad_(value.requires_grad) for name, value in weights.items()}
        losses = self._losses(leaves, x, targets)
        factor = torch.ones((), device=self.place.device) if scale is None else scale
        gradients = TaskGradients([w for w in weights.values() if w.requires_grad], factor)
        inputs = [leaf for leaf in leaves.values() if leaf.requires_grad]
        last = len(self.tasks) - 1
        for t, loss in enumerate(losses.unbind()):
            reached = torch.autograd.grad(loss * factor, inputs, retain_graph=t < last, allow_unused=True)
            gradients.add(tuple(self.partition.whole(reached)))
        losses = losses.detach()
        return _Row(losses, self._scales(losses, gradients), gradients)

    def _made_again(self, preference: Tensor, x: Tensor, targets: Targets) -> Tensor:
        """The losses of one preference, whose graph, θ(λ) included, is made again when going backward."""

        def run() -> Tensor:
            return self._losses(self.model.space.weights_for_pass(preference.unsqueeze(0))[0], x, targets)

        return recomputed(run, self.model.skeleton)

    def _losses(self, weights: dict[str, Tensor], x: Tensor, targets: Targets) -> Tensor:
        with self.place.autocast():
            outputs = self.model.call(weights, x)
        given = self._given(outputs, targets)
        if self.partition.world.size == 1 or not self.partition.parts_batch:
            return torch.stack([loss(output, target) for loss, output, target in given])
        totals = self.partition.totals([loss.statistics(output, target).sum(dim=0) for loss, output, target in given])
        return torch.stack([loss.finish(total) for (loss, _, _), total in zip(given, totals, strict=True)])

    def _given(self, outputs: dict[str, Tensor], targets: Targets) -> list[tuple[Loss, Tensor, Tensor]]:
        """The loss of each task with what it takes."""
        return [(loss, outputs[output], targets[target]) for loss, output, target in self._asked]

    def _scales(self, losses: Tensor, gradients: TaskGradients | None) -> Tensor | None:
        if not self.method.balancing:
            return None
        losses = losses.detach()
        scales = torch.ones_like(losses)
        needed = any(balancing.needs_gradients for balancing in self.method.balancing)
        norms = gradients.norms() if needed and gradients is not None else None
        for balancing, state in zip(self.method.balancing, self.state, strict=True):
            seen = None if norms is None else norms * scales
            scales = scales * balancing.scales(losses * scales, seen, state)
        return scales

    def _backward(
        self, rows: list[_Row], preferences: Tensor, share: float, scale: Tensor | None, state: nn.Module | None
    ) -> None:
        """Gradients of the mean over `preferences` of the objective, times `share`, and `scale` where there is one;
        `rows` are those of this process."""
        objective, count = self.method.objective, len(preferences)
        losses = self.partition.matrix(_stacked([row.losses for row in rows]), count)
        balanced = [row.scales for row in rows if row.scales is not None]
        scales = self.partition.matrix(torch.stack(balanced), count) if balanced else None
        gradients = [row.gradients for row in rows if row.gradients is not None]
        own = self.partition.own(count) if len(rows) < count else range(count)
        alone = self.partition.weight(len(rows), count)
        extra = () if state is None else (state,)
        if isinstance(objective, Scalarization):
            if gradients:
                losses = losses.detach().requires_grad_()
            value = objective(losses if scales is None else losses * scales, preferences, *extra)
            penalty = objective.penalty(losses, preferences)
            if penalty is not None:
                value = value + penalty
            _times(value, share, scale).backward()  # type: ignore[no-untyped-call]
            if gradients and losses.grad is not None:
                for j, each in zip(own, gradients, strict=True):
                    each.backward(losses.grad[j] / (each.factor / alone))
            return
        if scales is None:
            scales = torch.ones_like(losses)
        scaled, divisor = losses * scales, count / alone
        factor = share if scale is None else share * scale
        if isinstance(objective, Weighting):
            products = self.partition.matrix(torch.stack([each.gramian() for each in gradients]), count)
            products = products * scales.unsqueeze(2) * scales.unsqueeze(1)
            matrix = objective.weights(scaled, preferences, products, *extra).detach() * scales
            for j, each in zip(own, gradients, strict=True):
                each.backward(matrix[j] * (factor / (each.factor * divisor)))
        elif isinstance(objective, Aggregation):
            jacobians = self.partition.matrix(torch.stack([each.jacobian() for each in gradients]), count)
            directions = objective.aggregate(jacobians * scales.unsqueeze(2), scaled, preferences, *extra).detach()
            for j, each in zip(own, gradients, strict=True):
                part = factor / (each.factor * divisor)
                each.backward_mixed(directions[j] * part, scales[j] * part)
        else:
            raise TypeError(f"{type(objective).__name__} is no Scalarization, Weighting or Aggregation")


@torch.no_grad()
def _size(model: ParetoModel, m: int) -> int:
    """Bytes of one θ(λ)."""
    return sum(p.numel() * p.element_size() for p in model.weights(torch.full((m,), 1 / m)).values())


def _stacked(rows: list[Tensor]) -> Tensor:
    """The rows as a matrix; of one a view, which costs less."""
    return rows[0].unsqueeze(0) if len(rows) == 1 else torch.stack(rows)


def _times(value: Tensor, share: float, scale: Tensor | None) -> Tensor:
    """`value` times both, without a product where there is nothing to multiply with."""
    if share != 1:
        value = value * share
    return value if scale is None else value * scale
