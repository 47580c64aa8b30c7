"""Fast adaptive multitask optimization: losses fall at one relative rate, without their gradients."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.constants import constant
from moframework.objectives.adam import adam_direction
from moframework.objectives.base import Scalarization, wrong_length
from moframework.objectives.presence import StateByTask, present

__all__ = ["FAMO"]

# What keeps the logarithm of a loss of 0 finite.
_LOSS_EPS = 1e-8


@config
class FAMO(Scalarization):
    """Fast adaptive multitask optimization (Liu et al., NeurIPS 2023, arXiv 2306.03792).

    `mean_j Σ_t m λ_jt c z_t log(L_jt − b_t)` with `z = softmax(ω)` and c, a constant to the gradient, such that the
    weights of the losses sum to 1 when preferences are equal. After each step the losses of the same batch are computed
    again, and Adam moves ω so that tasks whose logarithm fell least gain weight.

    Costs one more forward pass a preference. Losses must stay above the bound b. A task that a batch has no label of is
    left out of that step: z is that of the others, and its logit and the moments of it stay.

    >>> objective, losses = FAMO(), torch.tensor([[1.0, 3.0]], requires_grad=True)
    >>> objective(losses, torch.tensor([[0.5, 0.5]]), objective.build(m=2, r=1)).backward()
    >>> losses.grad  # z / L, scaled to add up to 1
    tensor([[0.7500, 0.2500]])
    """

    lr: float = option(0.025, ge=0, help="learning rate of the task logits ω")
    weight_decay: float = option(1e-3, ge=0, help="decay of ω; the paper's, the released code has 1e-5")
    bound: tuple[float, ...] | None = option(None, help="lower bound b of the losses, a number a task; none: zeros")

    @property
    def reviews(self) -> bool:
        """The logits learn from the losses after the step."""
        return True

    def faults(self, m: int, r: int) -> list[str]:
        """See `Objective.faults`."""
        return wrong_length("bound", self.bound, m)

    def build(self, m: int, r: int) -> nn.Module:
        """The logits (r, m) and Adam's moments."""
        return _Logits(r, m)

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Scalarization.__call__`."""
        known = present(losses)
        z = _shares(cast(_Logits, state).logits, known)
        above = torch.where(known, self._above(losses), 1.0)
        c = 1 / (z / above.detach()).sum(dim=1, keepdim=True).clamp_min(torch.finfo(losses.dtype).tiny)
        return (losses.shape[1] * preferences * c * z * above.log()).sum(dim=1).mean()

    def review(self, before: Tensor, after: Tensor, state: nn.Module | None) -> None:
        """One step of Adam for the logits."""
        logits = cast(_Logits, state)
        known = present(before)
        fall = torch.where(known, self._above(before).log() - self._above(after).log(), 0.0)
        z = _shares(logits.logits, known)
        logits.step(z * (fall - (z * fall).sum(dim=1, keepdim=True)), known, self.lr, self.weight_decay)

    def _above(self, losses: Tensor) -> Tensor:
        if self.bound is not None:
            losses = losses - constant(self.bound, losses.device, losses.dtype)
        return losses + _LOSS_EPS


def _shares(logits: Tensor, known: Tensor) -> Tensor:
    """softmax over the tasks that are known, (r, m); 0 for the others."""
    raised = logits.masked_fill(~known, -torch.inf).softmax(dim=1)
    return torch.where(known, raised, 0.0)


class _Logits(StateByTask):
    """Logits with Adam's moments. No parameters: the optimizer of the network must not step them."""

    logits: Tensor
    first: Tensor
    second: Tensor
    steps: Tensor

    def __init__(self, r: int, m: int) -> None:
        super().__init__()
        for name in ("logits", "first", "second"):
            self.register_buffer(name, torch.zeros(r, m))
        self.register_buffer("steps", torch.zeros(r, m))

    def step(self, gradient: Tensor, known: Tensor, lr: float, weight_decay: float) -> None:
        """Adam's step of the logits that are `known` (r, m); the others stay, with their moments."""
        gradient = gradient + weight_decay * self.logits
        self.logits.sub_(lr * adam_direction(self.first, self.second, self.steps, gradient, known))
