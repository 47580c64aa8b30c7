"""Criteria of fairness between groups of people, of decisions: demographic parity, equal opportunity, equalized
odds."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from moframework.config import config, option
from moframework.losses import fairness
from moframework.losses.between_groups import MOST_GROUPS, labels_and_groups, largest_difference
from moframework.metrics.base import Metric, classes, summed

if TYPE_CHECKING:
    import torchmetrics

__all__ = ["DemographicParity", "EqualOpportunity", "EqualizedOdds"]

Empty = Literal["zero", "leave_out"]
Form = Literal["rates", "published"]
Criterion = fairness.DemographicParity | fairness.EqualOpportunity | fairness.EqualizedOdds


@config
class _Fairness(Metric):
    """The largest difference between groups in the rate of decisions for class 1, as fairlearn has it."""

    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float | None] = 1.0
    best: ClassVar[float | None] = 0.0
    expects_logits: ClassVar[bool] = True

    groups: int = option(2, ge=2, le=MOST_GROUPS, help="number of groups; in targets they are 0, 1, …")
    ignore_index: int = option(-100, help="target value of an unknown group or label; such samples do not count")
    empty: Empty = option(
        "zero",
        help="the rate of a group that occurs, but without a sample to take it of: zero, as fairlearn has it; or the "
        "group is left out",
    )

    @abstractmethod
    def criterion(self) -> Criterion:
        """The loss that counts the same samples."""

    def make(self, size: int) -> torchmetrics.Metric:
        """Counts of each cell: decided for class 1, members, and in the group at all."""
        criterion, name = self.criterion(), type(self).__name__

        def statistics(output: Tensor, target: Tensor) -> Tensor:
            label, _ = labels_and_groups(target, name)
            chosen = classes(output, label, size) == 1
            members = criterion.members(target)
            occurs = criterion.counted(target).unsqueeze(1).expand_as(members)
            return torch.stack([members & chosen[:, None, None], members, occurs], dim=3).flatten(1)

        def finish(totals: Tensor) -> Tensor:
            return self.gap(*totals.reshape(-1, self.groups, 3).unbind(dim=-1))

        rows = len(criterion.row_names())
        return summed(statistics, finish, 3 * rows * self.groups, logits=size == 1)

    def gap(self, chosen: Tensor, counts: Tensor, occurs: Tensor) -> Tensor:
        """The metric from counts (rows, groups); nan where there are not two groups to compare."""
        gaps, valid = largest_difference(chosen, counts, (occurs if self.empty == "zero" else counts) > 0)
        return torch.where(valid.any(), self.criterion().combined(gaps, valid), torch.nan)


@config
class _Published(_Fairness):
    """A gap with one row of cells, in either of two forms."""

    form: Form = option(
        "rates",
        help="rates: decisions over the samples of each group that count; published: over all samples, as the code of "
        "COSMOS has it",
    )

    def gap(self, chosen: Tensor, counts: Tensor, occurs: Tensor) -> Tensor:
        """max − min over the groups, of rates or of shares of all."""
        if self.form == "rates":
            return super().gap(chosen, counts, occurs)
        gap: Tensor = (chosen.amax() - chosen.amin()) / occurs.sum()
        return torch.where((occurs > 0).sum() >= 2, gap, torch.nan)


@config
class DemographicParity(_Published):
    """Demographic parity: the largest difference between groups in the rate of decisions for class 1.

    As fairlearn's `demographic_parity_difference`. In [0, 1]; nan with fewer than two groups, of which fairlearn says
    0. `form: published` is the DDP that COSMOS reports: the difference of the numbers of such decisions, over all
    samples.

    Output as `accuracy` has it, of size 1 or 2. Target as the loss of this name: label and group, (b, 2).

    >>> output, target = torch.tensor([1.0, -1.0, 1.0, 1.0]), torch.tensor([[1, 0], [0, 0], [1, 1], [0, 1]])
    >>> float(DemographicParity().make(size=1)(output, target))  # of group 0 half get class 1, of group 1 all
    0.5
    """

    @property
    def label(self) -> str:
        """`demographic_parity`, or `demographic_parity_published`."""
        return "demographic_parity" if self.form == "rates" else "demographic_parity_published"

    def criterion(self) -> Criterion:
        """The loss of this name."""
        return fairness.DemographicParity(groups=self.groups, ignore_index=self.ignore_index)


@config
class EqualOpportunity(_Published):
    """Equal opportunity: the largest difference between groups in true-positive rates.

    As fairlearn's `equal_opportunity_difference`. A group that occurs, but without a sample of class 1, has no such
    rate: fairlearn takes it for 0, and so does this unless it is `empty: leave_out`. In [0, 1]; nan with fewer than two
    groups, of which fairlearn says 0. `form: published` is the DEO that COSMOS reports: the difference of the numbers
    of true positives, over all samples.

    Output as `accuracy` has it, of size 1 or 2. Target as the loss of this name: label and group, (b, 2).

    >>> output, target = torch.tensor([1.0, -1.0, 1.0, 1.0]), torch.tensor([[1, 0], [0, 0], [1, 1], [0, 1]])
    >>> float(EqualOpportunity().make(size=1)(output, target))  # who is of class 1 gets it, in both groups
    0.0
    """

    @property
    def label(self) -> str:
        """`equal_opportunity`, or `equal_opportunity_published`."""
        return "equal_opportunity" if self.form == "rates" else "equal_opportunity_published"

    def criterion(self) -> Criterion:
        """The loss of this name."""
        return fairness.EqualOpportunity(groups=self.groups, ignore_index=self.ignore_index)


@config
class EqualizedOdds(_Fairness):
    """Equalized odds: of the largest differences between groups in true-positive and in false-positive rates the larger
    one, or their mean.

    As fairlearn's `equalized_odds_difference`, also in `empty`: see `equal_opportunity`. In [0, 1]; nan with fewer than
    two groups, of which fairlearn says 0.

    Output as `accuracy` has it, of size 1 or 2. Target as the loss of this name: label and group, (b, 2).

    >>> output, target = torch.tensor([1.0, -1.0, 1.0, 1.0]), torch.tensor([[1, 0], [0, 0], [1, 1], [0, 1]])
    >>> float(EqualizedOdds().make(size=1)(output, target))  # of class 0 none gets class 1 in group 0, all in group 1
    1.0
    >>> float(EqualizedOdds(combine="mean").make(size=1)(output, target))
    0.5
    """

    combine: Literal["worst", "mean"] = option(
        "worst", help="worst: the larger of both differences; mean: their mean (fairlearn's agg)"
    )

    @property
    def label(self) -> str:
        """`equalized_odds`, or `equalized_odds_mean`."""
        return "equalized_odds" if self.combine == "worst" else "equalized_odds_mean"

    def criterion(self) -> Criterion:
        """The loss of this name."""
        return fairness.EqualizedOdds(groups=self.groups, ignore_index=self.ignore_index, combine=self.combine)
