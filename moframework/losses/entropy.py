"""The entropy of predictions, which needs no labels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from moframework.config import config
from moframework.losses.base import Loss, at_least_float32, ratio

__all__ = ["Entropy"]


@config
class Entropy(Loss):
    """Entropy of the classes' probabilities, mean over samples and positions, in nats: `−Σ_k p_k log p_k`.

    Output: logits (b, c, ...), or (b, 1, ...) of one class against the other. The target is not read, so a sample
    without a label counts like any other.

    >>> Entropy()(torch.zeros(3, 4), torch.full((3,), torch.nan)).exp()
    tensor(4.0000)
    """

    def statistics(self, output: Tensor, target: Tensor) -> Tensor:
        """Sum of entropies and number of positions of each sample, (b, 2)."""
        output = at_least_float32(output)
        if output.dim() < 2 or output.shape[1] == 1:
            logits = output if output.dim() < 2 else output.squeeze(1)
            output = torch.stack([logits, torch.zeros_like(logits)], dim=1)
        logs = functional.log_softmax(output, dim=1)
        values = -(logs.exp() * logs).sum(dim=1).reshape(len(output), -1)
        return torch.stack([values.sum(dim=1), torch.full_like(values[:, 0], values.shape[1])], dim=1)

    def finish(self, totals: Tensor) -> Tensor:
        """Sum over number; 0 where there is no sample."""
        return ratio(*totals.unbind(dim=-1))
