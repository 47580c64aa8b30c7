"""Gradients of every task's loss with respect to one θ(λ), and the way back into the weight space."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["TaskGradients"]


class TaskGradients:
    """Gradients g_t of m losses over the parameters of one network, which a weight space made.

    Args:
        weights: the parameters θ(λ), with the graph that leads into the space.
        factor: the gradients that are added are multiplied by this number, against underflow in fp16; what is read
            here is not.
    """

    def __init__(self, weights: list[Tensor], factor: Tensor) -> None:
        self.weights = weights
        self.factor = factor
        self.by_task: list[tuple[Tensor | None, ...]] = []

    def add(self, gradients: tuple[Tensor | None, ...]) -> None:
        """Add the gradients of the next task, one a parameter; None where the task does not reach it."""
        self.by_task.append(gradients)

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
        rows = [
            torch.cat(
                [
                    (torch.zeros_like(weight) if g is None else g).reshape(-1)
                    for weight, g in zip(columns, own, strict=True)
                ]
            )
            for own in self._shared()
        ]
        return torch.stack(rows) / self.factor

    def gramian(self) -> Tensor:
        """Inner products of the gradients over the parameters that every task reaches, (m, m)."""
        jacobian = self.jacobian()
        return jacobian @ jacobian.T

    def backward(self, weights: Tensor) -> None:
        """Send Σ_t w_t g_t, times the factor, through θ(λ) into the parameters of the space."""
        self._send(list(zip(*self.by_task, strict=True)), weights.unbind())

    def backward_mixed(self, direction: Tensor, weights: Tensor) -> None:
        """Send `direction` (p,), made from `jacobian`, through the parameters that every task reaches, and Σ_t w_t g_t
        through the others; both times the factor."""
        columns: list[tuple[Tensor | None, ...]] = []
        start = 0
        for weight, kept, column in zip(self.weights, self._kept(), zip(*self.by_task, strict=True), strict=True):
            if kept:
                piece = direction[start : start + weight.numel()].view(weight.shape) * self.factor
                start += weight.numel()
                columns.append((piece, *[None] * (len(weights) - 1)))
            else:
                columns.append(tuple(None if g is None else w * g for w, g in zip(weights, column, strict=True)))
        self._send(columns, None)

    def _send(self, columns: Sequence[tuple[Tensor | None, ...]], weights: Sequence[Tensor] | None) -> None:
        tensors, combined = [], []
        for tensor, column in zip(self.weights, columns, strict=True):
            terms = [g if weights is None else weights[t] * g for t, g in enumerate(column) if g is not None]
            if terms:
                tensors.append(tensor)
                combined.append(torch.stack(terms).sum(dim=0) if len(terms) > 1 else terms[0])
        torch.autograd.backward(tensors, combined)

    def _kept(self) -> list[bool]:
        """Which parameters every task reaches; all where there are no such."""
        kept = [all(g is not None for g in column) for column in zip(*self.by_task, strict=True)]
        return kept if any(kept) else [True] * len(kept)

    def _shared(self) -> list[list[Tensor | None]]:
        """Each task's gradients of the kept parameters."""
        kept = self._kept()
        return [[g for g, keep in zip(own, kept, strict=True) if keep] for own in self.by_task]
