"""Linear scalarization: the weighted sum of losses."""

from __future__ import annotations

from torch import Tensor, nn

from moframework.config import config
from moframework.objectives.base import Scalarization

__all__ = ["Linear"]


@config
class Linear(Scalarization):
    """Weighted sum of the losses, `mean_j Σ_t λ_jt L_jt`. Reaches every point of a convex front, none inside a
    concave part.

    >>> import torch
    >>> losses, preferences = torch.tensor([[1.0, 3.0]]), torch.tensor([[0.25, 0.75]])
    >>> float(Linear()(losses, preferences))  # ¼ · 1 + ¾ · 3
    2.5
    """

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Scalarization.__call__`."""
        return (losses * preferences).sum() / len(losses)
