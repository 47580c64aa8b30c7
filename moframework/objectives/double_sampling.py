"""What weightings by products of independent gradients have in common: two halves of a batch, and weights that stay."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from moframework.config import config
from moframework.objectives.base import Weighting

__all__ = ["DoubleSampling", "among_known", "kept_weights"]


@config
class DoubleSampling(Weighting):
    """A weighting of C = J₁ J₂ᵀ, J the gradients on a half of the batch, whose weights go on from step to step."""

    @property
    def needs_halves(self) -> bool:
        """Products of independent gradients are the method."""
        return True

    def build(self, m: int, r: int) -> nn.Module:
        """The weights (r, m), even at first."""
        return _Weights(r, m)


class _Weights(nn.Module):
    task_weights: Tensor

    def __init__(self, r: int, m: int) -> None:
        super().__init__()
        self.register_buffer("task_weights", torch.full((r, m), 1 / m))


def kept_weights(state: nn.Module | None) -> Tensor:
    """The weights (r, m) that a state holds, to be changed in place."""
    return cast(_Weights, state).task_weights


def among_known(weights: Tensor, known: Tensor) -> Tensor:
    """Weights (r, m) of the tasks that are known (r, m) alone, which sum to 1; 0 where none is.

    >>> among_known(torch.tensor([[0.2, 0.3, 0.5]]), torch.tensor([[True, True, False]])).round(decimals=4)
    tensor([[0.4000, 0.6000, 0.0000]])
    """
    share = weights * known
    return share / share.sum(dim=1, keepdim=True).clamp_min(torch.finfo(share.dtype).tiny)
