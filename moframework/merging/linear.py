"""Weighted sums of task vectors: soups and task arithmetic."""

from __future__ import annotations

from typing import ClassVar

from moframework.config import config
from moframework.merging.base import Merge

__all__ = ["LinearMerge"]


@config
class LinearMerge(Merge):
    """`Σ_t λ_t τ_t`: Rewarded Soups (Ramé et al., NeurIPS 2023, arXiv 2306.04488), which are lines between networks.

    With `scale: m` the center of the simplex is task arithmetic's sum with coefficient 1 (Ilharco et al., ICLR 2023,
    arXiv 2212.04089); its usual coefficient .3 is `scale: 0.3·m`. Limits: rests on linear mode connectivity, so on
    members that started from one network.

    >>> import torch
    >>> LinearMerge().combined(torch.tensor([[2.0, 0.0], [0.0, 4.0]]), torch.tensor([0.25, 0.75]))
    tensor([0.5000, 3.0000])
    """

    needs_base: ClassVar[bool] = False
