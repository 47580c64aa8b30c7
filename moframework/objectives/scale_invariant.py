"""Logarithms of the losses, which do not depend on their scale."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from moframework.config import config
from moframework.objectives.base import Scalarization
from moframework.objectives.presence import present

__all__ = ["ScaleInvariant"]


@config
class ScaleInvariant(Scalarization):
    """Weighted sum of the logarithms of losses, `mean_j Σ_t λ_jt log L_jt`: the baseline that papers on multi-task
    learning call scale-invariant (SI; as in Navon et al., ICML 2022, arXiv 2202.01017).

    The gradient is that of `geometric_mean` over the mean itself, so that steps stay as long while losses fall. Limits:
    losses must be above 0. A task that a batch has no label of is left out.

    >>> losses, preferences = torch.tensor([[1.0, 100.0]]), torch.tensor([[0.5, 0.5]])
    >>> round(float(ScaleInvariant()(losses, preferences)), 4)  # ½ log 1 + ½ log 100
    2.3026
    """

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Scalarization.__call__`; nan where a loss is negative."""
        known = present(losses)
        return (preferences * known * torch.where(known, losses, 1.0).log()).sum(dim=1).mean()
