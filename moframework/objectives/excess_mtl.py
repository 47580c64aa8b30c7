"""ExcessMTL: tasks that are further from their best loss weigh more."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.objectives.base import Aggregation
from moframework.objectives.presence import present

__all__ = ["ExcessMTL"]

# As released: added under the root of the sums, and to the first excess risks.
_LEAST = 1e-7


@config
class ExcessMTL(Aggregation):
    """Robust multi-task learning with excess risks (He et al., ICML 2024, arXiv 2402.02009): `w_t ∝ w_t exp(η Ê_t)`,
    once a step, on the simplex.

    Ê_t, how far the loss of a task is above the best it can have, is estimated as `g_tᵀ H_t⁻¹ g_t` (Eq. 6) with the
    diagonal H_t = √(Σ g_t²) of all steps so far (Eq. 7), over the first such estimate. So a task with much noise in its
    labels, whose loss stays large and whose excess does not, does not take all weight. `warmup` steps have even weights
    and their mean estimate is the first one: one as released, and three epochs in the paper.

    A preference multiplies the weights: the direction is Σ_t m λ_t w_t g_t, and equal preferences give the method
    itself. Limits: it keeps a sum for each parameter and task, as large as m networks; parameters of single tasks get
    plain gradients, where the released code weighs them too.

    >>> objective, jacobians = ExcessMTL(), torch.tensor([[[1.0, 0.0], [0.0, 3.0]]])
    >>> state = objective.build(m=2, r=1)
    >>> objective.aggregate(jacobians, torch.ones(1, 2), torch.tensor([[0.5, 0.5]]), state)  # even weights at first
    tensor([[0.5000, 1.5000]])
    """

    rate: float = option(0.01, gt=0, help="step η of the weights; as in LibMTL")
    warmup: int = option(1, ge=1, le=1_000_000, help="steps with even weights that the first estimates are the mean of")

    def build(self, m: int, r: int) -> nn.Module:
        """Weights (r, m), first estimates, counts, and the sums of squares, whose size the first step tells."""
        return _Sums(r, m)

    def aggregate(
        self, jacobians: Tensor, losses: Tensor, preferences: Tensor, state: nn.Module | None = None
    ) -> Tensor:
        """See `Aggregation.aggregate`; changes the state, but for tasks that a batch has no label of and for rows that
        are not finite."""
        own, m = cast(_Sums, state), losses.shape[1]
        own.make(jacobians)
        known = present(losses) | jacobians.any(dim=2)
        moves = known & jacobians.isfinite().all(dim=2).all(dim=1, keepdim=True)
        squares = jacobians.square()
        own.squares.add_(torch.where(moves.unsqueeze(2), squares, 0.0))
        excess = (squares / (own.squares + _LEAST).sqrt()).sum(dim=2)
        warm = own.steps < self.warmup
        own.first.add_(torch.where(moves & warm, excess / self.warmup, 0.0))
        rise = torch.where(moves & ~warm, self.rate * excess / (own.first + _LEAST), 0.0)
        own.steps.add_(moves)
        own.log_weights.copy_((own.log_weights + rise).log_softmax(dim=1))
        weights = own.log_weights.masked_fill(~known, -torch.inf).softmax(dim=1)
        weights = torch.where(known, weights, 0.0)
        return torch.einsum("rm,rmp->rp", m * preferences * weights, jacobians)


class _Sums(nn.Module):
    """Logarithms of the weights, first estimates and numbers of steps, (r, m), and sums of squares (r, m, p), which
    are empty until the first step."""

    log_weights: Tensor
    first: Tensor
    steps: Tensor
    squares: Tensor

    def __init__(self, r: int, m: int) -> None:
        super().__init__()
        self.register_buffer("log_weights", torch.zeros(r, m).log_softmax(dim=1))
        self.register_buffer("first", torch.zeros(r, m))
        self.register_buffer("steps", torch.zeros(r, m, dtype=torch.int64))
        self.register_buffer("squares", torch.zeros(r, m, 0))

    def make(self, like: Tensor) -> None:
        """Give the sums the shape of gradients (r, m, p)."""
        if not self.squares.numel():
            self.squares = torch.zeros_like(like)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        found = state_dict.get(prefix + "squares")
        if found is not None and found.shape != self.squares.shape:
            self.squares = found.new_zeros(found.shape, device=self.squares.device)
        super()._load_from_state_dict(state_dict, prefix, *rest)
