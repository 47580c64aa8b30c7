"""What gaps between groups of people have in common: chances, cells of groups and labels, the largest difference."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from moframework.config import config, option
from moframework.losses.base import Loss, at_least_float32, known_targets

__all__ = ["MOST_GROUPS", "BetweenGroups", "in_groups", "labels_and_groups", "largest_difference"]

MOST_GROUPS = 100
"""More groups than that are taken for a mistake, such as ages or identity numbers in their place."""


@config
class BetweenGroups(Loss):
    """The largest difference between groups in the mean chance of class 1, among the samples that a criterion counts.

    A criterion has one or several rows of cells, one cell a group; samples are `members` of cells. The statistics of a
    sample are its chance p, and 1, in the cells that it is a member of. The loss of a row is max − min of the means of
    its cells, as fairlearn's `*_difference(method="between_groups")` has it; cells without a sample are left out, and a
    row with fewer than two others has no gap: 0, with gradient 0. Of more than two groups only the two farthest apart
    have a gradient.

    In [0, 1]. The gap of a batch is noisy, and too large on average, by about 0.8·σ·√(1/n₀ + 1/n₁) for two groups, with
    σ the deviation of p and n the numbers of samples that count: batches, and the parts of a batch that `batch: split`
    makes, should hold hundreds of each.

    Output: logits (b, 2), or (b, 1) or (b,) where class 1 is positive.
    """

    word: ClassVar[str]
    """What a spec calls it."""
    expects_logits: ClassVar[bool] = True
    worst: ClassVar[float | None] = 1.0

    groups: int = option(2, ge=2, le=MOST_GROUPS, help="number of groups; in targets they are 0, 1, …")
    ignore_index: int = option(-100, help="target value of an unknown group or label; such samples do not count")

    @abstractmethod
    def members(self, target: Tensor) -> Tensor:
        """Which cells samples are members of.

        Args:
            target: (b, ...), as the class says.

        Returns:
            (b, rows, groups), booleans.

        Raises:
            ValueError: the target has another shape.
        """

    def known(self, target: Tensor) -> Tensor:
        """See `Loss.known`: of who is a member of a cell all numbers but those that are nan."""
        counted = self.members(target).flatten(1).any(dim=1)
        return counted.reshape(-1, *[1] * (target.dim() - 1)) & known_targets(target)

    def statistics(self, output: Tensor, target: Tensor) -> Tensor:
        """p and 1 in the cells of each sample, (b, rows·groups·2)."""
        members = self.members(target)
        chance = self.chance(output, target)
        counts = members.to(chance.dtype)
        return torch.stack([chance[:, None, None] * counts, counts], dim=3).flatten(1)

    def finish(self, totals: Tensor) -> Tensor:
        """The gaps of the rows, made one; 0 where no row has one."""
        sums, counts = totals.reshape(*totals.shape[:-1], -1, self.groups, 2).unbind(dim=-1)
        return self.combined(*largest_difference(sums, counts, counts > 0))

    def combined(self, gaps: Tensor, valid: Tensor) -> Tensor:
        """One gap from those of the rows (..., rows), which are 0 where they are not `valid`: the only one, unless a
        criterion says otherwise."""
        return gaps.squeeze(-1)

    def chance(self, output: Tensor, target: Tensor) -> Tensor:
        """The chance of class 1, (b,), float32 at least. Raises ValueError for an output of another shape."""
        output = at_least_float32(output)
        if output.dim() == 2 and output.shape[1] == 2:
            output = output[:, 1] - output[:, 0]  # the logit of class 1 against class 0
        elif output.dim() == 2 and output.shape[1] == 1:
            output = output.squeeze(1)
        if output.dim() != 1 or len(output) != len(target):
            raise ValueError(
                f"{self.word} needs logits (b, 2), (b, 1) or (b,) of as many samples as there are targets, but has "
                f"{tuple(output.shape)} and {tuple(target.shape)}"
            )
        return torch.sigmoid(output)

    def fault(self, target: Tensor, size: int) -> str | None:
        """An output of more than two classes, or targets that are no groups, or no gap."""
        if size > 2:
            return f"{self.word} needs an output of size 1 or 2, but size is {size}"
        return self.fault_of_targets(target)

    @abstractmethod
    def fault_of_targets(self, target: Tensor) -> str | None:
        """What is wrong with targets, for `fault`."""


def labels_and_groups(target: Tensor, word: str) -> tuple[Tensor, Tensor]:
    """Labels and groups, (b,) each, of a target (b, 2) that has them in this order.

    Args:
        word: what needs them, for the message.

    Raises:
        ValueError: it has another shape.
    """
    if target.dim() != 2 or target.shape[1] != 2:
        raise ValueError(
            f"{word} needs two numbers a sample as its target, label and group, (b, 2), but has {tuple(target.shape)}"
        )
    label, group = target.unbind(dim=1)
    return label, group


def in_groups(group: Tensor, groups: int) -> Tensor:
    """Who is in which group, (b, groups), booleans. Groups (b,) that are none of 0, 1, … are in none.

    >>> in_groups(torch.tensor([1.0, float("nan")]), 2).tolist()
    [[False, True], [False, False]]
    """
    return torch.stack([group == index for index in range(groups)], dim=1)


def largest_difference(sums: Tensor, counts: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """The largest difference between the means of groups.

    Args:
        sums: (..., groups), of numbers in [0, 1].
        counts: (..., groups), how many these are; the mean of none is 0.
        present: (..., groups), which groups are compared.

    Returns:
        the differences (...), 0 with gradient 0 where fewer than two groups are present; and whether more are, (...).

    >>> sums, counts = torch.tensor([1.0, 2.0, 0.0]), torch.tensor([4.0, 2.0, 0.0])
    >>> [float(value) for value in largest_difference(sums, counts, counts > 0)]
    [0.75, 1.0]
    """
    means = sums / counts.clamp_min(1)
    highest = torch.where(present, means, -1.0).amax(dim=-1)
    lowest = torch.where(present, means, 2.0).amin(dim=-1)
    valid = present.sum(dim=-1) >= 2
    return torch.where(valid, highest - lowest, 0.0), valid


def wrong_values(values: Tensor, allowed: int, ignored: float, what: str) -> str | None:
    """What is wrong with labels or groups that should be 0 to `allowed` − 1, or unknown."""
    found = torch.unique(values[known_targets(values, ignored)])
    wrong = found[(found < 0) | (found >= allowed) | (found != found.round())]
    if not len(wrong):
        return None
    shown = ", ".join(f"{float(value):g}" for value in wrong[:5])
    numbers = "0 or 1" if allowed == 2 else f"0 to {allowed - 1}"
    return f"{what} must be {numbers} (or {ignored:g}: unknown), but they hold {shown}"
