"""Steps whose gradients are combined at the features that all heads read (`objectives.features`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from moframework.engine.boundary import Boundary, Cut, find_boundary
from moframework.engine.gradients import TaskGradients
from moframework.engine.settings import Training
from moframework.engine.step import Rows, Step, Targets
from moframework.errors import SpecError
from moframework.inputs.trees import Tree
from moframework.model.buffers import buffers_kept
from moframework.objectives.features import FeatureAggregation, Features, Head

__all__ = ["FeatureGradients", "FeaturePass", "turned"]

# Largest difference, in shares of the largest number, of an output that is computed in two ways.
_TOLERANCE = 1e-3


class FeatureGradients(TaskGradients):
    """Gradients of m losses at the features, and over the parameters beyond them.

    Attributes:
        at_features: of each loss, as the features are, times the factor.
        features: what the objective sees of them.
        preference: that they are of, where the weight space reads it.
    """

    at_features: list[Tensor]
    features: Features
    preference: Tensor

    def take_cut(self, losses: Sequence[Tensor], cut: Cut) -> None:
        """Take the gradients of losses whose graphs end at a cut."""
        leaf, self._features = cut.tensors
        self.at_features = []
        last = len(losses) - 1
        for t, loss in enumerate(losses):
            found = torch.autograd.grad(
                loss * self.factor, [leaf, *self._inputs()], retain_graph=t < last, allow_unused=True
            )
            self.at_features.append(torch.zeros_like(leaf) if found[0] is None else found[0])
            self.by_task.append(tuple(found[1:]))

    def backward_features(self, direction: Tensor, share: float) -> None:
        """Send a direction, in the shape of the features, through the shared part, and each loss through its own head;
        both times `share` and the factor."""
        given = (direction * self.factor).to(self._features.dtype)
        below = torch.autograd.grad(self._features, self._inputs(), given, allow_unused=True)
        combined = []
        for shared, *own in zip(below, *self.by_task, strict=True):
            terms = [term for term in (shared, *own) if term is not None]
            combined.append(torch.stack(terms).sum(dim=0) * share if terms else None)
        self._send(combined)

    def _inputs(self) -> list[Tensor]:
        return [leaf for leaf in self.leaves.values() if leaf.requires_grad]


class FeaturePass:
    """Stands in for what a `Step` does with one preference (`_by_task`, `_descend`), and where the objective turns the
    features for what it does before and after a step (`progressed`, `review`).

    Raises:
        SpecError: something else of the spec does not go with it.
    """

    def __init__(self, step: Step, objective: FeatureAggregation, training: Training) -> None:
        self.step, self.objective = step, objective
        self._boundary: Boundary | None = None
        self._turns: list[tuple[Tensor, Tensor]] = []
        self._check(training)
        stand_in: Any = step
        stand_in._by_task, stand_in._descend = self.gradients, self.descend
        if objective.turns:
            self._review: Callable[..., None] = step.review
            self._progressed: Callable[[float], None] = step.progressed
            stand_in.review, stand_in.progressed = self.review, self.progressed

    def _check(self, training: Training) -> None:
        step = self.step
        reasons = {
            "several processes": step.partition.shared,
            "balancings (solver.balancing)": bool(step.method.balancing),
            "gradient accumulation (training.accumulate)": training.accumulate > 1,
            "compiled networks (training.compile)": bool(training.compile),
            "weight spaces that run the network themselves": step.model.network.runner is not None,
        }
        found = [reason for reason, applies in reasons.items() if applies]
        if found:
            raise SpecError(
                "solver.objective: gradients are combined at the features that the heads read, which does not go with "
                + ", nor with ".join(found)
            )

    def prepare(self, preference: Tensor, x: Tree, targets: Targets) -> Boundary:
        """Find where the heads begin, once, by passes on a batch that change nothing.

        Raises:
            SpecError: the network has no features that all heads read, or heads that the objective cannot use.
        """
        if self._boundary is None:
            step = self.step
            with buffers_kept(step.model), self._same_random_numbers():
                found = FeatureGradients(step.model.weights(preference), step.place.device)
                boundary = find_boundary(step, found.leaves, x, targets)
                self._check_network(boundary, found.leaves, x)
                with boundary.cut() as cut:
                    losses = step.losses_by_task(found.leaves, x, targets)
                found.take_cut(losses, cut)
                self._check_beyond(found)
                if self.objective.needs_heads:
                    self.objective.check(self._heads(boundary, found.leaves, targets))
            self._boundary = boundary
        return self._boundary

    def gradients(self, preference: Tensor, x: Tree, targets: Targets, scale: Tensor | None) -> Rows:
        """One preference's losses, with the gradients at the features and those of the heads."""
        step, boundary = self.step, self.prepare(preference, x, targets)
        found = FeatureGradients(step.model.weights(preference), step.place.device, scale)
        found.preference = preference
        with boundary.cut() as cut:
            losses = step.losses_by_task(found.leaves, x, targets)
        found.take_cut(losses, cut)
        found.features = Features(
            values=boundary.rows(cut.tensors[1].detach()).float(),
            gradients=torch.stack([boundary.rows(each).float() for each in found.at_features]) / found.factor,
            losses=torch.stack([loss.detach() for loss in losses]),
            heads=self._heads(boundary, found.leaves, targets) if self.objective.needs_heads else (),
        )
        return Rows(found.features.losses.unsqueeze(0), None, (found,))

    def descend(
        self, rows: Rows, preferences: Tensor, share: float, scale: Tensor | None, state: nn.Module | None
    ) -> None:
        """As `Step._descend`, of one preference."""
        (found,), boundary = rows.gradients, self._boundary
        assert isinstance(found, FeatureGradients), "they were taken here"
        assert boundary is not None, "it was found before"
        extra = () if state is None else (state,)
        direction = self.objective.combine(found.features, preferences[0], *extra).detach()
        found.backward_features(boundary.back(direction, found.at_features[0]), share)
        turns = self.objective.turn(found.features, state) if self.objective.turns else None
        if turns is not None:
            theta = self.step.model.weights(found.preference)
            self._turns += [(theta[name], q) for name, q in zip(boundary.first, turns.unbind(), strict=True)]

    def progressed(self, progress: float) -> None:
        """As `Step.progressed`, before each step: what one that was skipped would have turned stays."""
        self._turns.clear()
        self._progressed(progress)

    @torch.no_grad()
    def review(self, x: Tree, targets: Targets, preferences: Tensor, losses: Tensor) -> None:
        """As `Step.review`; then the heads read turned features."""
        self._review(x, targets, preferences, losses)
        for weight, q in self._turns:
            weight.copy_(turned(weight, q))
        self._turns.clear()

    def _heads(self, boundary: Boundary, theta: Mapping[str, Tensor], targets: Targets) -> tuple[Head, ...]:
        heads = []
        for task, loss, name in zip(self.step.tasks, self.step.minimized, boundary.first, strict=True):
            target = targets[task.target_key]
            bias = theta.get(name.removesuffix("weight") + "bias")
            assert loss.likelihood is not None, "checked in the first step"
            heads.append(
                Head(
                    task=task.name,
                    weight=theta[name].detach(),
                    bias=None if bias is None else bias.detach(),
                    target=target,
                    known=loss.known(target),
                    likelihood=loss.likelihood,
                )
            )
        return tuple(heads)

    def _same_random_numbers(self) -> Any:
        device = self.step.place.device
        return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])

    def _check_network(self, boundary: Boundary, theta: Mapping[str, Tensor], x: Tree) -> None:
        """Raise `SpecError` where heads are not as the objective needs them."""
        if self.objective.needs_heads:
            self._check_heads(boundary, theta, x)
        if self.objective.turns:
            own = list(self.step.model.space.parameters())
            stored = self.step.model.weights(torch.full((len(self.step.tasks),), 1 / len(self.step.tasks)))
            if not all(any(stored[name] is parameter for parameter in own) for name in boundary.first):
                raise SpecError(
                    "solver.objective: turns the weights of the heads in place, which needs a solver that keeps whole "
                    "networks: single, multipoint or stl"
                )
            self._check_turns(boundary, theta, x)

    @torch.no_grad()
    def _check_heads(self, boundary: Boundary, theta: Mapping[str, Tensor], x: Tree) -> None:
        """Each head must be one linear layer whose output the task reads, with a loss that has a likelihood."""
        with boundary.cut() as cut:
            outputs = self.step.outputs(dict(theta), x)
        _, features = cut.tensors
        for t, task in enumerate(self.step.tasks):
            name, loss = boundary.first[t], self.step.minimized[t]
            if loss.likelihood is None:
                raise SpecError(
                    f"solver.objective: has no likelihood for the loss of task '{task.name}', {type(loss).__name__}: "
                    "it takes mse, cross_entropy and binary_cross_entropy, without weights and smoothing"
                )
            bias = theta.get(name.removesuffix("weight") + "bias")
            plain = isinstance(boundary.heads[t], nn.Linear) and features.dim() == 2
            expected = functional.linear(features.to(theta[name]), theta[name], bias) if plain else None
            output = outputs[task.output_key]
            if expected is None or output.numel() != expected.numel() or not _close(output, expected):
                raise SpecError(
                    f"solver.objective: the head of task '{task.name}' must be one linear layer that reads features "
                    "(b, d) and gives the output, for its weights are what has a posterior; take a backbone with such "
                    "heads (mlp, resnet), or write them so"
                )

    @torch.no_grad()
    def _check_turns(self, boundary: Boundary, theta: Mapping[str, Tensor], x: Tree) -> None:
        """A head with a turned weight must say what it says of turned features."""
        size = theta[boundary.first[0]].shape[1]
        generator = torch.Generator().manual_seed(0)
        q = torch.linalg.qr(torch.randn(size, size, generator=generator)).Q.to(self.step.place.device)

        def turn(module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
            return (boundary.back(boundary.rows(given[0]) @ q.T.to(given[0]), given[0]), *given[1:])

        with self._same_random_numbers():
            weights = {name: turned(theta[name], q) for name in boundary.first}
            one = self.step.outputs({**theta, **weights}, x)
        handles = [head.register_forward_pre_hook(turn) for head in boundary.heads]
        try:
            with self._same_random_numbers():
                other = self.step.outputs(dict(theta), x)
        finally:
            for handle in handles:
                handle.remove()
        for task in self.step.tasks:
            if not _close(one[task.output_key], other[task.output_key]):
                raise SpecError(
                    f"solver.objective: the head of task '{task.name}' reads the features by more than its first "
                    "linear layer, so a rotation of them cannot be kept in that layer's weight"
                )

    def _check_beyond(self, found: FeatureGradients) -> None:
        """Nothing but features may lead from one parameter to two tasks."""
        names = [name for name, leaf in found.leaves.items() if leaf.requires_grad]
        for name, column in zip(names, zip(*found.by_task, strict=True), strict=True):
            tasks = [task.name for task, g in zip(self.step.tasks, column, strict=True) if g is not None]
            if len(tasks) > 1:
                raise SpecError(
                    f"solver.objective: the heads of {tasks[0]} and {tasks[1]} depend on '{name}' not by the features "
                    "alone that both read, so there is no one place to combine gradients at; take an objective that "
                    "goes by the gradients of the parameters"
                )


def turned(weight: Tensor, q: Tensor) -> Tensor:
    """The weight (o, d, …) of a layer that does with z what one with `weight` does with q z.

    >>> turned(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, -1.0], [1.0, 0.0]]))
    tensor([[ 2., -1.]])
    """
    return torch.einsum("od...,de->oe...", weight, q.to(weight))


def _close(one: Tensor, other: Tensor) -> bool:
    other = other.reshape(one.shape)
    scale = max(float(other.abs().max()), 1e-6) if other.numel() else 1.0
    return bool((one - other).abs().max() <= _TOLERANCE * scale)
