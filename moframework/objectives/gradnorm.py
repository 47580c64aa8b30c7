"""GradNorm: weights that give all tasks gradients of one size, larger for those that learn slowly."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.objectives.base import Weighting
from moframework.objectives.presence import StateByTask, unknown_of

__all__ = ["GradNorm"]

# What keeps a weight positive, and divisions by a first loss or a mean of 0 finite.
_LEAST = 1e-6


@config
class GradNorm(Weighting):
    """Gradient normalization (Chen, Badrinarayanan, Lee, Rabinovich, ICML 2018, arXiv 1711.02257).

    With G_t = w_t ‖g_t‖, their mean Ḡ over tasks, and the relative inverse training rate
    `r_t = (L_t / L_t(0)) / mean_s (L_s / L_s(0))`, the weights w descend `Σ_t |G_t − Ḡ r_t^α|`, the aims Ḡ r_t^α taken
    as constants, and are scaled to add up to m. L_t(0) is the first loss that was seen. A preference multiplies the
    weights, m λ_t w_t; equal preferences give the method itself.

    ‖g_t‖ is that over the parameters that all tasks share, where the paper takes the last shared layer alone. Weights
    move by plain steps of size `rate`, where the paper lets the optimizer of the network move them.

    >>> objective, losses, preferences = GradNorm(rate=0.2), torch.tensor([[1.0, 1.0]]), torch.tensor([[0.5, 0.5]])
    >>> gramians = torch.tensor([[[1.0, 0.0], [0.0, 9.0]]])  # of gradients with lengths 1 and 3
    >>> objective.weights(losses, preferences, gramians, objective.build(m=2, r=1))  # 1.1 and 0.7, scaled to sum 2
    tensor([[1.2222, 0.7778]])
    """

    alpha: float = option(1.5, ge=0, help="how strongly slow tasks are pulled; 0: gradients of one size")
    rate: float = option(0.025, gt=0, help="size of a step of the weights, over the mean gradient")

    def build(self, m: int, r: int) -> nn.Module:
        """Weights and first losses."""
        return _Weights(r, m)

    def weights(self, losses: Tensor, preferences: Tensor, gramians: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Weighting.weights`; changes the state. Rows that are not finite leave it as it is."""
        own, m = cast(_Weights, state), losses.shape[1]
        known = ~unknown_of(losses, gramians)
        finite = torch.isfinite(losses).all(dim=1) & torch.isfinite(gramians).all(dim=2).all(dim=1)
        moves = known & finite.unsqueeze(1)
        own.first.copy_(torch.where((own.first == 0) & moves, losses.to(own.first), own.first))
        norms = gramians.diagonal(dim1=1, dim2=2).clamp_min(0).sqrt()
        sizes = own.task_weights * norms
        count = moves.sum(dim=1, keepdim=True).clamp_min(1)
        mean = (sizes * moves).sum(dim=1, keepdim=True) / count
        rates = losses / own.first.clamp_min(_LEAST)
        relative = rates / ((rates * moves).sum(dim=1, keepdim=True) / count).clamp_min(_LEAST)
        slope = norms * (sizes - mean * relative.clamp_min(0) ** self.alpha).sign() / mean.clamp_min(_LEAST)
        moved = (own.task_weights - self.rate * slope).clamp_min(_LEAST)
        # Tasks that are not there keep their weights, and the others the sum of theirs.
        kept = (own.task_weights * moves).sum(dim=1, keepdim=True)
        moved = moved * kept / (moved * moves).sum(dim=1, keepdim=True).clamp_min(_LEAST)
        own.task_weights.copy_(torch.where(moves, moved, own.task_weights))
        broken = 0 * (losses.sum(dim=1) + gramians.sum(dim=(1, 2))).unsqueeze(1)
        return m * preferences * own.task_weights.to(losses) * known + broken


class _Weights(StateByTask):
    """Weights (r, m), adding up to m, and first losses (r, m), 0 where none was seen."""

    task_weights: Tensor
    first: Tensor

    def __init__(self, r: int, m: int) -> None:
        super().__init__()
        self.register_buffer("task_weights", torch.ones(r, m))
        self.register_buffer("first", torch.zeros(r, m))
