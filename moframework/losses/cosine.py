"""The cosine loss of vectors, such as surface normals."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from moframework.config import config
from moframework.losses.base import MeanLoss

__all__ = ["Cosine"]


@config
class Cosine(MeanLoss):
    """1 − cos of the angle between two vectors, mean over positions; for surface normals.

    Vectors lie along dimension 1: output and target (b, c, ...), of any length. A target of all zeros, or with a
    nan, means unknown and does not count. In [0, 2].

    >>> output, target = torch.tensor([[0.0, 2.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    >>> float(Cosine()(output, target))  # of 0 and 90 degrees
    0.5
    """

    def known(self, target: Tensor) -> Tensor:
        """See `Loss.known`; all numbers of a vector alike."""
        known: Tensor = ((target != 0).any(dim=1) & ~target.isnan().any(dim=1)).unsqueeze(1)
        return known.expand_as(target)

    def values(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """1 − cos at each position (b, ...), and where the target is known."""
        if output.shape != target.shape or output.dim() < 2:
            raise ValueError(
                f"cosine needs outputs and targets (b, c, ...) of one shape, "
                f"but has {tuple(output.shape)} and {tuple(target.shape)}"
            )
        target = target.to(output.dtype)
        known = (target != 0).any(dim=1)
        values = 1 - functional.cosine_similarity(output, target, dim=1)
        return torch.where(known, values, torch.zeros_like(values)), known
