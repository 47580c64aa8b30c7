"""Gradients of every task's loss with respect to one θ(λ), and the way back into the weight space.

The forward pass is shared: gradients are taken with respect to θ(λ) as it is made for one preference, combined here by
what the objective makes of them, and sent once through the weight space.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn

from moframework.inputs.trees import Tree, split_samples
from moframework.objectives import Aggregation, Objective, Scalarization, Weighting
from moframework.objectives.presence import mean_of_present, present

__all__ = ["Balanced", "TaskGradients", "descend_by_task"]

LossesOf = Callable[[Tree, dict[str, Tensor]], Sequence[Tensor]]
Whole = Callable[[Sequence[Tensor | None]], Sequence[Tensor | None]]


class TaskGradients:
    """Gradients g_t of m losses over the parameters of one network, which a weight space made.

    Args:
        theta: θ(λ), with the graph that leads into the space.
        device: of the training.
        scale: the gradients are multiplied by this number, against underflow in fp16; what is read here is not.

    Attributes:
        leaves: θ(λ) to run the network with.
    """

    def __init__(self, theta: Mapping[str, Tensor], device: torch.device, scale: Tensor | None = None) -> None:
        self.leaves = {name: value.detach().requires_grad_(value.requires_grad) for name, value in theta.items()}
        self.weights = [weight for weight in theta.values() if weight.requires_grad]
        self.factor = torch.ones((), device=device) if scale is None else scale
        self.by_task: list[tuple[Tensor | None, ...]] = []
        self._products: Tensor | None = None

    def take(self, losses: Sequence[Tensor], whole: Whole = tuple) -> None:
        """Take the gradients of the m losses that the network with `leaves` has; None where a task does not reach a
        parameter.

        Args:
            losses: of each task by itself, and not rows of one tensor: of these autograd gives zeros in place of None.
            whole: what makes of this process's gradients those of the whole batch.
        """
        inputs = [leaf for leaf in self.leaves.values() if leaf.requires_grad]
        last = len(losses) - 1
        for t, loss in enumerate(losses):
            reached = torch.autograd.grad(loss * self.factor, inputs, retain_graph=t < last, allow_unused=True)
            self.by_task.append(tuple(whole(reached)))

    def take_batch(self, losses_of: LossesOf, x: Tree, targets: dict[str, Tensor], whole: Whole = tuple) -> Tensor:
        """Take the gradients of the losses of a batch, and return the losses (m,), detached.

        Args:
            losses_of: inputs and targets → m losses of the network with `leaves`, as `take` has them.
            x, targets: the batch.
            whole: as in `take`.
        """
        losses = losses_of(x, targets)
        self.take(losses, whole)
        return torch.stack([loss.detach() for loss in losses])

    def take_halves(self, losses_of: LossesOf, x: Tree, targets: dict[str, Tensor], whole: Whole = tuple) -> Tensor:
        """As `take_batch`, of the two halves of a batch in turn: `gramian` is then of the first with the second, and
        all else the mean over the halves that have labels of a task. A batch of one sample stands for both halves."""
        count = min(2, *(len(target) for target in targets.values()))
        inputs, pieces = split_samples(x, count), {key: value.tensor_split(count) for key, value in targets.items()}
        losses, by_task, jacobians = [], [], []
        for j in (0, count - 1):
            self.by_task = []
            losses.append(
                self.take_batch(losses_of, inputs[j], {key: value[j] for key, value in pieces.items()}, whole)
            )
            by_task.append(self.by_task)
            jacobians.append(self.jacobian())
        found = torch.stack(losses)
        self._products = jacobians[0] @ jacobians[1].T
        counts = present(found).sum(dim=0).clamp_min(1).unbind()
        self.by_task = [_mean_of(pair, n) for pair, n in zip(zip(*by_task, strict=True), counts, strict=True)]
        return mean_of_present(found)

    def norms(self) -> Tensor:
        """Euclidean norm of each task's gradient over the parameters that every task reaches, (m,)."""
        norms = []
        for own in self._shared():
            present = [g for g in own if g is not None]
            norms.append(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(present))))
        return torch.stack(norms) / self.factor

    def jacobian(self) -> Tensor:
        """The gradients over the parameters that every task reaches, (m, p); over all where there are no such."""
        columns = [weight for weight, kept in zip(self.weights, self._kept(), strict=True) if kept]
        rows = []
        for own in self._shared():
            filled = [torch.zeros_like(weight) if g is None else g for weight, g in zip(columns, own, strict=True)]
            rows.append(torch.cat([g.reshape(-1) for g in filled]))
        return torch.stack(rows) / self.factor

    def gramian(self) -> Tensor:
        """Inner products of the gradients over the parameters that every task reaches, (m, m)."""
        if self._products is not None:
            return self._products
        jacobian = self.jacobian()
        return jacobian @ jacobian.T

    def backward(self, weights: Tensor) -> None:
        """Send Σ_t w_t g_t, times the factor, through θ(λ) into the parameters of the space."""
        self._send([_weighted(column, weights) for column in zip(*self.by_task, strict=True)])

    def backward_mixed(self, direction: Tensor, weights: Tensor) -> None:
        """Send `direction` (p,), made from `jacobian`, through the parameters that every task reaches, and Σ_t w_t g_t
        through the others; both times the factor."""
        sizes = [weight.numel() for weight, kept in zip(self.weights, self._kept(), strict=True) if kept]
        parts = iter(torch.split(direction, sizes))
        combined = []
        for weight, kept, column in zip(self.weights, self._kept(), zip(*self.by_task, strict=True), strict=True):
            combined.append(next(parts).view(weight.shape) * self.factor if kept else _weighted(column, weights))
        self._send(combined)

    def _send(self, combined: Sequence[Tensor | None]) -> None:
        pairs = [(weight, g) for weight, g in zip(self.weights, combined, strict=True) if g is not None]
        torch.autograd.backward([weight for weight, _ in pairs], [g for _, g in pairs])

    def _kept(self) -> list[bool]:
        """Which parameters every task reaches; all where there are no such."""
        kept = [all(g is not None for g in column) for column in zip(*self.by_task, strict=True)]
        return kept if any(kept) else [True] * len(kept)

    def _shared(self) -> list[list[Tensor | None]]:
        """Each task's gradients of the kept parameters."""
        kept = self._kept()
        return [[g for g, keep in zip(own, kept, strict=True) if keep] for own in self.by_task]


def _mean_of(halves: tuple[tuple[Tensor | None, ...], ...], count: Tensor) -> tuple[Tensor | None, ...]:
    """One task's gradients, from those on two halves: their sum over the number that has labels of it."""
    pairs = zip(*halves, strict=True)
    return tuple(None if g is None or h is None else (g + h) / count for g, h in pairs)


def _weighted(column: Sequence[Tensor | None], weights: Tensor) -> Tensor | None:
    """Σ_t w_t g_t of one parameter; None where no task reaches it."""
    terms = [weight * g for weight, g in zip(weights.unbind(), column, strict=True) if g is not None]
    return torch.stack(terms).sum(dim=0) if len(terms) > 1 else next(iter(terms), None)


@frozen
class Balanced:
    """What an objective is given of r preferences: losses and the balancings' scales, both (r, m), the preferences
    (r, m), and its state."""

    losses: Tensor
    scales: Tensor
    preferences: Tensor
    state: nn.Module | None


def descend_by_task(
    objective: Objective,
    gradients: Sequence[TaskGradients],
    given: Balanced,
    factor: float | Tensor,
    partition: Any,
) -> None:
    """Leave in the parameters the gradient of the mean over preferences, times a factor, of an objective that needs
    those of single tasks, or whose balancings do.

    Args:
        gradients: of this process's preferences; which these are `partition` says (a `step.Partition`).
        given: of all preferences.
    """
    count = len(given.preferences)
    own = partition.local_preferences(count) if len(gradients) < count else range(count)
    alone = partition.gradient_scale(len(gradients), count)
    if isinstance(objective, Scalarization):
        leaves = given.losses.detach().requires_grad_()
        (objective.total(leaves, given.preferences, given.scales, given.state) * factor).backward()  # type: ignore[no-untyped-call]
        if leaves.grad is not None:
            for j, each in zip(own, gradients, strict=True):
                each.backward(leaves.grad[j] / (each.factor / alone))
        return
    shares = [factor / (each.factor * (count / alone)) for each in gradients]
    extra = () if given.state is None else (given.state,)
    losses, scales = given.losses * given.scales, given.scales
    if isinstance(objective, Weighting):
        products = partition.gather_rows(torch.stack([each.gramian() for each in gradients]), count)
        products = products * scales.unsqueeze(2) * scales.unsqueeze(1)
        weights = objective.weights(losses, given.preferences, products, *extra).detach() * scales
        for j, each, share in zip(own, gradients, shares, strict=True):
            each.backward(weights[j] * share)
    elif isinstance(objective, Aggregation):
        jacobians = partition.gather_rows(torch.stack([each.jacobian() for each in gradients]), count)
        directions = objective.aggregate(jacobians * scales.unsqueeze(2), losses, given.preferences, *extra).detach()
        for j, each, share in zip(own, gradients, shares, strict=True):
            each.backward_mixed(directions[j] * share, scales[j] * share)
