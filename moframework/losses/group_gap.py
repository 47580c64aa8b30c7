"""The gap between groups of people among the samples that have a group: a differentiable loss of fairness."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from moframework.config import config
from moframework.losses.between_groups import BetweenGroups, in_groups

__all__ = ["GroupGap"]


@config
class GroupGap(BetweenGroups):
    """How differently groups are treated: the largest difference between them in the mean chance p of class 1.

    With a group for each sample it is the demographic-parity gap; with a group for the samples of class 1 alone, and
    `ignore_index` for the others, the equal-opportunity gap: the difference of true-positive rates. With labels beside
    the groups, `demographic_parity`, `equal_opportunity` and `equalized_odds` find these by themselves. In [0, 1]; 0
    while fewer than two groups have samples. On batches see `moframework.losses.between_groups.BetweenGroups`.

    Output: logits (b, 2), or (b, 1) or (b,) where class 1 is positive. Target: group 0, 1, … (b,); nan is in none.

    >>> loss = GroupGap(groups=3)
    >>> chances = torch.tensor([0.2, 0.4, 0.9, 0.5])
    >>> round(float(loss(torch.logit(chances), torch.tensor([0, 1, 2, -100]))), 4)
    0.7
    """

    word: ClassVar[str] = "group_gap"

    def members(self, target: Tensor) -> Tensor:
        """One row: the group of each sample, (b, 1, groups)."""
        if target.dim() != 1:
            raise ValueError(f"group_gap needs a group for each sample, (b,), but has {tuple(target.shape)}")
        return (in_groups(target, self.groups) & (target != self.ignore_index).unsqueeze(1)).unsqueeze(1)

    def fault_of_targets(self, target: Tensor) -> str | None:
        """Values that are no group, or fewer than two groups."""
        if target.dim() != 1:
            return f"group_gap needs a group for each sample, (b,), but targets are {tuple(target.shape)}"
        # Not `known`, to which values that are no groups are unknown.
        found = torch.unique(target[(target == target) & (target != self.ignore_index)]).tolist()
        if len(found) < 2 or any(value not in range(self.groups) for value in found):
            wanted = (
                "both groups, 0 and 1," if self.groups == 2 else f"groups from 0 to {self.groups - 1}, at least two,"
            )
            return (
                f"group_gap needs {wanted} as targets (and {self.ignore_index} for samples in none), "
                f"but they hold {', '.join(f'{value:g}' for value in found[:5]) or 'none'}"
            )
        return None
