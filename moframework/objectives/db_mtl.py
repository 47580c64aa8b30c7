"""DB-MTL: losses and gradients on one footing."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from moframework.config import config
from moframework.objectives.base import Weighting
from moframework.objectives.presence import unknown_of

__all__ = ["DBMTL"]


@config
class DBMTL(Weighting):
    """Dual balancing, after Lin et al. (2023, arXiv 2308.12029): gradients of the logarithms of losses, all made as
    long as the longest, `Σ_t w_t L_t` with `w_t = (max_s n_s / n_t) / L_t` and n_t = ‖g_t‖ / L_t.

    A preference multiplies its weights, m λ_t w_t. Limits: losses must be above 0. The paper takes running means of the
    gradients, which are as large as m networks; here each step goes by its own.

    >>> losses, preferences = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 0.5]])
    >>> gramians = torch.tensor([[[1.0, 0.0], [0.0, 16.0]]])  # n = 1/1 and 4/2
    >>> DBMTL().weights(losses, preferences, gramians)  # (2/1) / 1 and (2/2) / 2
    tensor([[2.0000, 0.5000]])
    """

    def weights(self, losses: Tensor, preferences: Tensor, gramians: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Weighting.weights`; 0 for tasks that a batch has no label of, and where a gradient is 0."""
        known = ~unknown_of(losses, gramians)
        tiny = torch.finfo(losses.dtype).tiny
        lengths = gramians.diagonal(dim1=1, dim2=2).clamp_min(0).sqrt()
        of_logarithms = torch.where(known, lengths / losses.abs().clamp_min(tiny), 0.0)
        longest = of_logarithms.amax(dim=1, keepdim=True)
        # (max n / n_t) / L_t is max n / ‖g_t‖.
        found = torch.where(known & (lengths > 0), longest / lengths.clamp_min(tiny), 0.0)
        broken = 0 * (losses.sum(dim=1) + gramians.sum(dim=(1, 2))).unsqueeze(1)
        return losses.shape[1] * preferences * found + broken
