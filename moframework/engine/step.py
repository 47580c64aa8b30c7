"""One training step: preferences → weights → losses → objective → gradients.

With M preferences a step costs M forward passes over the whole batch (`shared`) or one pass in all (`split`: the
batch is divided among the preferences). Separable objectives run backward preference by preference and hold one
graph at a time; where the batch is divided, all graphs together are no larger than one of the whole batch, and the
step goes backward once.

Where a balancing or the objective needs per-task gradients, the forward pass is shared: gradients are taken with
respect to the materialized θ(λ), combined there, and sent once through the weight space.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from attrs import frozen
from torch import Tensor, nn

from moframework.engine.device import Placement
from moframework.engine.gradients import TaskGradients
from moframework.engine.method import Method
from moframework.model import ParetoModel
from moframework.objectives import Aggregation, Scalarization, Weighting
from moframework.tasks import Task

__all__ = ["Step"]

Targets = dict[str, Tensor]


@frozen
class _Row:
    """What one preference contributed: losses (m,), scales (m,) of the balancings where there are any, gradients where
    asked for."""

    losses: Tensor
    scales: Tensor | None
    gradients: TaskGradients | None


class Step:
    """Computes losses and leaves gradients in the parameters of a model; takes no optimizer step.

    Attributes:
        state: state of the balancings, by position, kept between steps and in checkpoints.
        objective_states: state of the objective: a module for each preference of a step where the objective is
            separable, else one; empty where it has no state.
    """

    def __init__(self, model: ParetoModel, tasks: tuple[Task, ...], method: Method, place: Placement) -> None:
        self.model = model
        self.tasks = tasks
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
        divided = method.preferences.batch == "split" and not self._per_task and not states
        self._together = divided or not objective.separable

    def run(self, x: Tensor, targets: Targets, preferences: Tensor, scale: Tensor | None = None) -> Tensor:
        """Accumulate the gradient of the step's objective.

        Args:
            x, targets: the batch, on the device.
            preferences: Λ (M, m), on the host.
            scale: factor of the objective against underflow in fp16, or None.

        Returns:
            the unscaled losses (M, m), detached, on the device; nothing is read back to the host, unless the objective
            solves its problem there.
        """
        on_device = preferences.to(self.place.device, non_blocking=True)
        losses: list[Tensor] = []
        pending: list[_Row] = []
        # Weights are made for all preferences at once where one backward pass goes through all of them.
        at_once = self._together and not self._per_task
        thetas = self.model.space.weights_of(preferences) if at_once else map(self.model.weights, preferences)
        for j, (theta, part) in enumerate(zip(thetas, self._parts(x, targets, len(preferences)), strict=True)):
            row = self._forward(theta, *part, scale)
            losses.append(row.losses.detach())
            if self._together:
                pending.append(row)
            else:
                self._backward([row], on_device[j : j + 1], 1 / len(preferences), scale, self._state(j))
        if pending:
            self._backward(pending, on_device, 1.0, scale, self._state(0))
        penalty = self.model.space.penalty()
        if penalty is not None:
            _times(penalty, 1.0, scale).backward()  # type: ignore[no-untyped-call]
        result = torch.stack(losses)
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
        parts = self._parts(x, targets, len(preferences))
        after = torch.stack([self._losses(self.model.weights(preferences[j]), *part) for j, part in enumerate(parts)])
        if not objective.separable:
            objective.review(losses, after, self._state(0))
            return
        for j in range(len(preferences)):
            objective.review(losses[j : j + 1], after[j : j + 1], self._state(j))

    def epoch_ended(self) -> None:
        """Tell the objective that an epoch has ended."""
        for state in self.objective_states:
            self.method.objective.epoch_ended(state)

    def _state(self, j: int) -> nn.Module | None:
        return self.objective_states[j] if len(self.objective_states) else None

    def _parts(self, x: Tensor, targets: Targets, count: int) -> Iterator[tuple[Tensor, Targets]]:
        """The samples that each preference sees."""
        if self.method.preferences.batch == "shared" or count == 1:
            for _ in range(count):
                yield x, targets
            return
        pieces = {key: value.tensor_split(count) for key, value in targets.items()}
        for j, piece in enumerate(x.tensor_split(count)):
            yield piece, {key: value[j] for key, value in pieces.items()}

    def _forward(self, weights: dict[str, Tensor], x: Tensor, targets: Targets, scale: Tensor | None) -> _Row:
        if not self._per_task:
            losses = self._losses(weights, x, targets)
            return _Row(losses, self._scales(losses, None), None)
        leaves = {name: value.detach().requires_grad_(value.requires_grad) for name, value in weights.items()}
        losses = self._losses(leaves, x, targets)
        factor = torch.ones((), device=self.place.device) if scale is None else scale
        gradients = TaskGradients([w for w in weights.values() if w.requires_grad], factor)
        inputs = [leaf for leaf in leaves.values() if leaf.requires_grad]
        last = len(self.tasks) - 1
        for t, loss in enumerate(losses.unbind()):
            gradients.add(torch.autograd.grad(loss * factor, inputs, retain_graph=t < last, allow_unused=True))
        losses = losses.detach()
        return _Row(losses, self._scales(losses, gradients), gradients)

    def _losses(self, weights: dict[str, Tensor], x: Tensor, targets: Targets) -> Tensor:
        with self.place.autocast():
            outputs = self.model.call(weights, x)
        return torch.stack([task.loss(outputs[task.output_key], targets[task.target_key]) for task in self.tasks])

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
        """Gradients of the mean over `rows` of the objective, times `share`, and `scale` where there is one."""
        objective = self.method.objective
        losses = torch.stack([row.losses for row in rows])
        balanced = [row.scales for row in rows if row.scales is not None]
        scales = torch.stack(balanced) if balanced else None
        gradients = [row.gradients for row in rows if row.gradients is not None]
        extra = () if state is None else (state,)
        if isinstance(objective, Scalarization):
            if gradients:
                losses.requires_grad_()
            value = objective(losses if scales is None else losses * scales, preferences, *extra)
            penalty = objective.penalty(losses, preferences)
            if penalty is not None:
                value = value + penalty
            _times(value, share, scale).backward()  # type: ignore[no-untyped-call]
            if gradients and losses.grad is not None:
                for own, weights in zip(gradients, losses.grad, strict=True):
                    own.backward(weights / own.factor)
            return
        if scales is None:
            scales = torch.ones_like(losses)
        scaled, factor = losses * scales, share if scale is None else share * scale
        if isinstance(objective, Weighting):
            products = torch.stack([own.gramian() for own in gradients]) * scales.unsqueeze(2) * scales.unsqueeze(1)
            matrix = objective.weights(scaled, preferences, products, *extra).detach() * scales
            for own, weights in zip(gradients, matrix, strict=True):
                own.backward(weights * (factor / (own.factor * len(rows))))
        elif isinstance(objective, Aggregation):
            jacobians = torch.stack([own.jacobian() for own in gradients]) * scales.unsqueeze(2)
            directions = objective.aggregate(jacobians, scaled, preferences, *extra).detach()
            for own, direction, weights in zip(gradients, directions, scales, strict=True):
                part = factor / (own.factor * len(rows))
                own.backward_mixed(direction * part, weights * part)
        else:
            raise TypeError(f"{type(objective).__name__} is no Scalarization, Weighting or Aggregation")


def _times(value: Tensor, share: float, scale: Tensor | None) -> Tensor:
    """`value` times both, without a product where there is nothing to multiply with."""
    if share != 1:
        value = value * share
    return value if scale is None else value * scale
