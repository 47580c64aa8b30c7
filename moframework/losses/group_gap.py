"""The gap between two groups of people: a differentiable loss of fairness."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from moframework.config import config, option
from moframework.losses.base import Loss, at_least_float32, known_targets, same_shape

__all__ = ["GroupGap"]


@config
class GroupGap(Loss):
    """How differently two groups are treated: |mean p over group 1 − mean p over group 0|, p the chance of class 1.

    With a group for each sample it is the demographic-parity gap; with a group for the samples of class 1 alone, and
    `ignore_index` for the others, the equal-opportunity gap: the difference of true-positive rates. In [0, 1]; 0 while
    a group is absent. The gap of a batch is noisy, and its absolute value too large on average by about
    0.8·σ·√(1/n₀ + 1/n₁), with σ the deviation of p and n the sizes of the groups: batches, and the parts of a batch
    that `batch: split` makes, should hold hundreds of each group.

    Output: logits (b, 2), or (b, 1) or (b,) where class 1 is positive. Target: group 0 or 1 (b,); nan is
    in neither.
    """

    worst: ClassVar[float | None] = 1.0

    ignore_index: int = option(-100, help="target value of samples that are in neither group")

    def known(self, target: Tensor) -> Tensor:
        """See `Loss.known`: neither nan nor `ignore_index`."""
        return known_targets(target, self.ignore_index)

    def statistics(self, output: Tensor, target: Tensor) -> Tensor:
        """Sum of p and number of samples of group 0, then of group 1: (b, 4)."""
        output = at_least_float32(output)
        if output.dim() == 2 and output.shape[1] == 2:
            output = output[:, 1] - output[:, 0]  # the logit of class 1 against class 0
        output, _ = same_shape(output, target, "group_gap")
        if output.dim() != 1:
            raise ValueError(f"group_gap needs a group for each sample, (b,), but has {tuple(target.shape)}")
        chance = torch.sigmoid(output)
        members = torch.stack([target == 0, target == 1], dim=1).to(chance.dtype)
        return torch.stack([chance.unsqueeze(1) * members, members], dim=2).flatten(1)

    def finish(self, totals: Tensor) -> Tensor:
        """The difference of the two means; 0 where a group is absent."""
        sums, counts = totals.reshape(*totals.shape[:-1], 2, 2).unbind(dim=-1)
        means = sums / counts.clamp_min(1)
        gap = (means[..., 1] - means[..., 0]).abs()
        return torch.where((counts > 0).all(dim=-1), gap, torch.zeros_like(gap))

    def fault(self, target: Tensor, size: int) -> str | None:
        """More than two classes, values that are no group, or a group that is absent."""
        if size > 2:
            return f"group_gap needs an output of size 1 or 2, but size is {size}"
        found = torch.unique(target[self.known(target)]).tolist()
        if found != [0, 1]:
            return (
                f"group_gap needs both groups, 0 and 1, as targets (and {self.ignore_index} for samples in neither), "
                f"but they hold {', '.join(f'{value:g}' for value in found[:5]) or 'none'}"
            )
        return None
