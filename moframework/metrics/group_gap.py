"""How differently groups are decided on."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from moframework.config import config, option
from moframework.losses import group_gap
from moframework.losses.between_groups import MOST_GROUPS, largest_difference
from moframework.metrics.base import Metric, classes, summed

if TYPE_CHECKING:
    import torchmetrics

__all__ = ["GroupGap"]


@config
class GroupGap(Metric):
    """How differently groups are decided on: the largest difference of their shares of decisions for class 1.

    With a group for each sample it is the demographic-parity gap; with a group for the samples of class 1 alone, the
    equal-opportunity gap; with labels beside the groups, the metrics of these names find them by themselves. Unlike the
    loss of this name it counts decisions, not chances. In [0, 1]; groups without a sample are left out, and with fewer
    than two others it is nan. Output as `accuracy` has it, of size 1 or 2; target: group 0, 1, … (b,).

    >>> output, group = torch.tensor([1.0, -1.0, 1.0, 1.0]), torch.tensor([0, 0, 1, 1])
    >>> float(GroupGap().make(size=1)(output, group))  # 1 of 2, and 2 of 2
    0.5
    """

    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float | None] = 1.0
    best: ClassVar[float | None] = 0.0
    expects_logits: ClassVar[bool] = True

    groups: int = option(2, ge=2, le=MOST_GROUPS, help="number of groups; in targets they are 0, 1, …")
    ignore_index: int = option(-100, help="target value of samples that are in no group")

    @property
    def label(self) -> str:
        """`gap`."""
        return "gap"

    def make(self, size: int) -> torchmetrics.Metric:
        """Counts of each group, and of its decisions for class 1."""
        criterion = group_gap.GroupGap(groups=self.groups, ignore_index=self.ignore_index)

        def statistics(output: Tensor, target: Tensor) -> Tensor:
            members, chosen = criterion.members(target).squeeze(1), classes(output, target, size) == 1
            return torch.stack([members & chosen.unsqueeze(1), members], dim=2).flatten(1)

        def finish(totals: Tensor) -> Tensor:
            chosen, counts = totals.reshape(self.groups, 2).unbind(dim=-1)
            return torch.where((counts > 0).sum() >= 2, largest_difference(chosen, counts, counts > 0)[0], torch.nan)

        return summed(statistics, finish, 2 * self.groups, logits=size == 1)
