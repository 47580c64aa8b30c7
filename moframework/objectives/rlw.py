"""Random loss weighting."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from moframework.config import config
from moframework.objectives.base import Scalarization

__all__ = ["RLW"]


@config
class RLW(Scalarization):
    """Random loss weighting (Lin et al., TMLR 2022, arXiv 2111.10603): `mean_j Σ_t λ_jt w_jt L_jt` with
    `w_j = m softmax(z)`, z standard normal, drawn anew for each preference and step from torch's generator, which the
    engine seeds for every step.

    >>> losses, preferences = torch.tensor([[2.0, 2.0]]), torch.tensor([[0.5, 0.5]])
    >>> round(float(RLW()(losses, preferences)), 4)  # the weights are drawn, and add up to 2
    2.0
    """

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Scalarization.__call__`."""
        weights = losses.shape[1] * torch.randn_like(losses).softmax(dim=1)
        return (preferences * weights * losses).sum(dim=1).mean()
