"""The geometric mean of the losses."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from moframework.config import config
from moframework.objectives.base import Scalarization
from moframework.objectives.presence import present

__all__ = ["GeometricMean"]


@config
class GeometricMean(Scalarization):
    """Geometric mean of the losses, `mean_j Π_t L_jt^λ_jt` (geometric loss strategy; Chennupati et al., CVPR workshops
    2019, arXiv 1904.08492); equal preferences give the published mean `(Π_t L_t)^(1/m)`.

    The gradient of a loss is divided by the loss, so that the size of a task does not matter. Limits: losses must be
    above 0; one that comes near 0 takes the gradients of all others with it. A task that a batch has no label of is
    left out, the preferences of the others scaled to add up to 1.

    >>> losses, preferences = torch.tensor([[1.0, 16.0]]), torch.tensor([[0.5, 0.5]])
    >>> round(float(GeometricMean()(losses, preferences)), 4)  # √1 · √16
    4.0
    """

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Scalarization.__call__`; nan where a loss is negative."""
        known = present(losses)
        shares = preferences * known
        shares = shares / shares.sum(dim=1, keepdim=True).clamp_min(torch.finfo(losses.dtype).tiny)
        # A logarithm of 1 in the place of a loss that is not there: its gradient would be infinite times 0.
        means = (shares * torch.where(known, losses, 1.0).log()).sum(dim=1).exp()
        return torch.where(shares.any(dim=1), means, 0.0 * losses.sum(dim=1)).mean()
