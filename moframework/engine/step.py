"""One training step: preferences → weights → losses → objective → gradients.

With M preferences a step costs M forward passes over the whole batch (`shared`) or one pass in all (`split`: the
batch is divided among the preferences). Separable objectives run backward preference by preference and hold one
graph at a time.

Where a balancing needs per-task gradients, the forward pass is shared: gradients are taken with respect to the
materialized θ(λ), combined there, and sent once through the weight space.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from moframework.engine.device import Placement
from moframework.engine.method import Method
from moframework.model import ParetoModel
from moframework.tasks import Task

__all__ = ["Step"]

Targets = dict[str, Tensor]


class Step:
    """Computes losses and leaves gradients in the parameters of a model; takes no optimizer step.

    Attributes:
        state: state of the balancings, by position, kept between steps and in checkpoints.
    """

    def __init__(self, model: ParetoModel, tasks: tuple[Task, ...], method: Method, place: Placement) -> None:
        self.model = model
        self.tasks = tasks
        self.method = method
        self.place = place
        self.state = [
            {key: value.to(place.device) for key, value in balancing.initial_state(len(tasks)).items()}
            for balancing in method.balancing
        ]
        self._per_task = any(balancing.needs_gradients for balancing in method.balancing)

    def run(self, x: Tensor, targets: Targets, preferences: Tensor, scale: Tensor | None = None) -> Tensor:
        """Accumulate the gradient of the step's objective.

        Args:
            x, targets: the batch, on the device.
            preferences: Λ (M, m), on the host.
            scale: factor of the objective against underflow in fp16, or None.

        Returns:
            the unscaled losses (M, m), detached, on the device; nothing is read back to the host.
        """
        on_device = preferences.to(self.place.device, non_blocking=True)
        factor = torch.ones((), device=self.place.device) if scale is None else scale
        rows: list[Tensor] = []
        pending: list[tuple[Tensor, Tensor, _Gradients | None]] = []
        parts = self._parts(x, targets, len(preferences))
        for j, (x_j, targets_j) in enumerate(parts):
            losses, gradients = self._forward(x_j, targets_j, preferences[j], factor)
            rows.append(losses.detach())
            scales = self._scales(losses, gradients)
            if self.method.objective.separable:
                self._backward([(losses, scales, gradients)], on_device[j : j + 1], factor / len(preferences))
            else:
                pending.append((losses, scales, gradients))
        if pending:
            self._backward(pending, on_device, factor)
        penalty = self.model.space.penalty()
        if penalty is not None:
            (penalty * factor).backward()  # type: ignore[no-untyped-call]
        result = torch.stack(rows)
        self.state = [
            balancing.updated(state, result) for balancing, state in zip(self.method.balancing, self.state, strict=True)
        ]
        return result

    def _parts(self, x: Tensor, targets: Targets, count: int) -> Iterator[tuple[Tensor, Targets]]:
        """The samples that each preference sees."""
        if self.method.preferences.batch == "shared" or count == 1:
            for _ in range(count):
                yield x, targets
            return
        pieces = {key: value.tensor_split(count) for key, value in targets.items()}
        for j, piece in enumerate(x.tensor_split(count)):
            yield piece, {key: value[j] for key, value in pieces.items()}

    def _forward(
        self, x: Tensor, targets: Targets, preference: Tensor, factor: Tensor
    ) -> tuple[Tensor, _Gradients | None]:
        weights = self.model.weights(preference)
        if not self._per_task:
            return self._losses(weights, x, targets), None
        leaves = {name: value.detach().requires_grad_(value.requires_grad) for name, value in weights.items()}
        losses = self._losses(leaves, x, targets)
        gradients = _Gradients([w for w in weights.values() if w.requires_grad], factor)
        inputs = [leaf for leaf in leaves.values() if leaf.requires_grad]
        last = len(self.tasks) - 1
        for t, loss in enumerate(losses.unbind()):
            gradients.add(torch.autograd.grad(loss * factor, inputs, retain_graph=t < last, allow_unused=True))
        return losses.detach(), gradients

    def _losses(self, weights: dict[str, Tensor], x: Tensor, targets: Targets) -> Tensor:
        with self.place.autocast():
            outputs = self.model.call(weights, x)
        return torch.stack([task.loss(outputs[task.output_key], targets[task.target_key]) for task in self.tasks])

    def _scales(self, losses: Tensor, gradients: _Gradients | None) -> Tensor:
        losses = losses.detach()
        scales = torch.ones_like(losses)
        norms = None if gradients is None else gradients.norms()
        for balancing, state in zip(self.method.balancing, self.state, strict=True):
            seen = None if norms is None else norms * scales
            scales = scales * balancing.scales(losses * scales, seen, state)
        return scales

    def _backward(
        self, rows: list[tuple[Tensor, Tensor, _Gradients | None]], preferences: Tensor, factor: Tensor
    ) -> None:
        losses = torch.stack([row[0] for row in rows])
        if self._per_task:
            losses = losses.requires_grad_()
        value = self.method.objective(losses * torch.stack([row[1] for row in rows]), preferences)
        if not self._per_task:
            (value * factor).backward()  # type: ignore[no-untyped-call]
            return
        (weights,) = torch.autograd.grad(value, losses)
        share = factor / rows[0][2].factor if rows[0][2] is not None else factor
        for (_, _, gradients), row in zip(rows, weights * share, strict=True):
            if gradients is not None:
                gradients.backward(row)


class _Gradients:
    """Gradients of every task's loss with respect to one θ(λ), and the way back into the weight space."""

    def __init__(self, weights: list[Tensor], factor: Tensor) -> None:
        self.weights = weights
        self.factor = factor
        self.by_task: list[tuple[Tensor | None, ...]] = []

    def add(self, gradients: tuple[Tensor | None, ...]) -> None:
        self.by_task.append(gradients)

    def norms(self) -> Tensor:
        """Euclidean norm of each task's gradient over the parameters that every task reaches, (m,)."""
        shared = [column for column in zip(*self.by_task, strict=True) if all(g is not None for g in column)]
        if not shared:
            shared = [tuple(column) for column in zip(*self.by_task, strict=True)]
        norms = []
        for t in range(len(self.by_task)):
            own = [column[t] for column in shared if column[t] is not None]
            norms.append(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(own))))
        return torch.stack(norms) / self.factor

    def backward(self, weights: Tensor) -> None:
        """Send Σ_t w_t g_t through θ(λ) into the parameters of the space."""
        tensors, combined = [], []
        for tensor, column in zip(self.weights, zip(*self.by_task, strict=True), strict=True):
            terms = [w * g for w, g in zip(weights.unbind(), column, strict=True) if g is not None]
            if terms:
                tensors.append(tensor)
                combined.append(torch.stack(terms).sum(dim=0) if len(terms) > 1 else terms[0])
        torch.autograd.backward(tensors, combined)
