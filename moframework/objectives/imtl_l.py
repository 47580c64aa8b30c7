"""IMTL-L: each task learns the scale that brings its loss to 1."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from moframework.config import config
from moframework.objectives.base import Scalarization
from moframework.objectives.presence import present

__all__ = ["IMTLL"]


@config
class IMTLL(Scalarization):
    """Impartial multi-task learning, its part on losses: `exp(s_t) L_t − s_t` with a scale s_t a task (Liu et al., ICLR
    2021).

    The best s_t is −log L_t, which makes all scaled losses 1. A preference multiplies a task's whole term,
    `mean_j Σ_t m λ_jt (…)`, so that it does not move the best scale; equal preferences give the method itself. The s_t
    start at 0 and join the optimizer at its base rate. Its part on gradients is `imtl_g`.
    A batch without a label of a task says nothing of its s_t.

    >>> objective, losses, preferences = IMTLL(), torch.tensor([[1.0, 3.0]]), torch.tensor([[0.5, 0.5]])
    >>> objective(losses, preferences, objective.build(m=2, r=1)).item()  # s = 0 at the start: 1 + 3
    4.0
    """

    def build(self, m: int, r: int) -> nn.Module:
        """The scales (r, m)."""
        return _Scales(r, m)

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Scalarization.__call__`."""
        s = cast(_Scales, state).log_scales
        return (preferences * losses.shape[1] * (s.exp() * losses - s * present(losses))).sum(dim=1).mean()


class _Scales(nn.Module):
    def __init__(self, r: int, m: int) -> None:
        super().__init__()
        self.log_scales = nn.Parameter(torch.zeros(r, m))
