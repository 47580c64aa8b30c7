"""TIES: trim, elect signs, and merge what agrees."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from moframework.config import config, option
from moframework.merging.base import Merge
from moframework.merging.kernels import agreeing, elected_signs, trimmed

__all__ = ["TIES"]


@config
class TIES(Merge):
    """The largest entries of each task vector, and of these the ones whose sign wins (Yadav et al., NeurIPS 2023).

    Each τ_t keeps its largest `density` entries. At λ the sign of `Σ_t λ_t τ_t` is elected in each entry, and what
    agrees with it is added up with weights λ; `form: mean` divides by the weights that agree.

    Source: arXiv 2306.01708, Algorithm 1; 20 % is the paper's. Weights λ before the election are ours, so that the
    front has one vector for each preference. Limits: θ(λ) jumps where an elected sign changes.

    >>> import torch
    >>> merge = TIES(density=0.75)
    >>> kept = merge.edited(torch.tensor([[4.0, 1.0, 3.0, 2.0], [-2.0, 3.0, 1.0, 6.0]]))
    >>> kept
    tensor([[ 4.,  0.,  3.,  2.],
            [-2.,  3.,  0.,  6.]])
    >>> merge.combined(kept, torch.tensor([0.5, 0.5]))  # the sign of 4 wins over that of −2
    tensor([4., 3., 3., 4.])
    """

    density: float = option(0.2, gt=0, le=1, help="share of each task vector's entries that is kept")
    election: Literal["total", "frequency"] = option(
        "total", help="what elects a sign: total: the weighted sum of entries; frequency: that of their signs"
    )
    form: Literal["mean", "sum"] = option("mean", help="mean or sum over the entries that agree, weighted by λ")

    def edited(self, vectors: Tensor) -> Tensor:
        """The trimmed vectors."""
        return trimmed(vectors, self.density)

    def combined(self, vectors: Tensor, weights: Tensor) -> Tensor:
        """The entries that agree with the elected signs."""
        return agreeing(vectors, weights, elected_signs(vectors, weights, self.election), self.form)
