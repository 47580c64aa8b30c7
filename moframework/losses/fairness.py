"""Criteria of fairness between groups of people, as differentiable losses: demographic parity, equal opportunity,
equalized odds."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor

from moframework.config import config, option
from moframework.losses.base import known_targets, ratio
from moframework.losses.between_groups import BetweenGroups, in_groups, labels_and_groups, wrong_values

__all__ = ["DemographicParity", "EqualOpportunity", "EqualizedOdds"]

Form = Literal["means", "published"]


@config
class _OfLabels(BetweenGroups):
    """A gap whose targets are labels and groups."""

    needs_label: ClassVar[bool] = True
    """Whether samples without a label do not count."""

    def members(self, target: Tensor) -> Tensor:
        """The cells of label and group, as the criterion counts them."""
        label, _ = labels_and_groups(target, self.word)
        rows = self.rows(torch.where(known_targets(label, self.ignore_index), label, -1.0))
        return self.counted(target).unsqueeze(1) & rows.unsqueeze(2)

    def counted(self, target: Tensor) -> Tensor:
        """Who is in which group, (b, groups), booleans, of the samples about whom enough is known."""
        label, group = labels_and_groups(target, self.word)
        known = known_targets(group, self.ignore_index)
        if self.needs_label:
            known = known & known_targets(label, self.ignore_index)
        return in_groups(group, self.groups) & known.unsqueeze(1)

    @abstractmethod
    def rows(self, label: Tensor) -> Tensor:
        """Which rows of cells samples belong to, (b, rows), booleans.

        Args:
            label: (b,), −1 where it is not known.
        """

    def fault_of_targets(self, target: Tensor) -> str | None:
        """Labels other than 0 and 1, values that are no group, or a row of fewer than two groups."""
        if target.dim() != 2 or target.shape[1] != 2:
            return f"{self.word} needs targets (n, 2), label and group, but they are {tuple(target.shape)}"
        label, group = target.unbind(dim=1)
        wrong = wrong_values(label, 2, self.ignore_index, "labels (the first column)") or wrong_values(
            group, self.groups, self.ignore_index, "groups (the second column)"
        )
        if wrong is not None:
            return f"{self.word}: {wrong}"
        counts = self.members(target).sum(dim=0)
        few = ((counts > 0).sum(dim=1) < 2).tolist()
        if any(few):
            whom = self.row_names()[few.index(True)]
            return f"{self.word} compares groups, but fewer than two have {whom}"
        return None

    @abstractmethod
    def row_names(self) -> tuple[str, ...]:
        """Who is in each row of cells, in words."""


@config
class _Published(_OfLabels):
    """A gap with one row of cells, in either of two forms."""

    form: Form = option(
        "means",
        help="means: of the chances p in each group; published: sums of tanh p in each, over the number of all samples "
        "of a batch, as the code of COSMOS has it",
    )

    def statistics(self, output: Tensor, target: Tensor) -> Tensor:
        """p and 1 in the cells of each sample; in the published form tanh p in these, then 1 for who is counted:
        (b, groups·2) or (b, groups + 1)."""
        if self.form == "means":
            return super().statistics(output, target)
        members, known = self.members(target).squeeze(1), self.counted(target).any(dim=1, keepdim=True)
        relaxed = torch.tanh(self.chance(output, target)).unsqueeze(1)
        return torch.cat([relaxed * members, known.to(relaxed.dtype)], dim=1)

    def finish(self, totals: Tensor) -> Tensor:
        """max − min over the groups, of means or of shares of all."""
        if self.form == "means":
            return super().finish(totals)
        sums, count = totals[..., : self.groups], totals[..., self.groups]
        return ratio(sums.amax(dim=-1) - sums.amin(dim=-1), count)


@config
class DemographicParity(_Published):
    """Demographic parity: the largest difference between groups in the mean chance p of class 1.

    The loss of fairlearn's `demographic_parity_difference`, with chances in the place of decisions. Labels do not
    matter, and may be unknown. `form: published` is the DDP of COSMOS: |Σ_{group 0} tanh p − Σ_{group 1} tanh p| / n,
    over n samples; see `equal_opportunity`.

    Output: logits (b, 2), or (b, 1) or (b,) where class 1 is positive. Target: label and group, (b, 2); nan and
    `ignore_index` are unknown. In [0, 1]; 0 while fewer than two groups have samples. On batches see
    `moframework.losses.between_groups.BetweenGroups`.

    >>> output = torch.logit(torch.tensor([0.2, 0.4, 0.8]))
    >>> round(float(DemographicParity()(output, torch.tensor([[1, 0], [0, 0], [0, 1]]))), 4)
    0.5
    """

    word: ClassVar[str] = "demographic_parity"
    needs_label: ClassVar[bool] = False

    def rows(self, label: Tensor) -> Tensor:
        """Everybody."""
        return torch.ones_like(label, dtype=torch.bool).unsqueeze(1)

    def row_names(self) -> tuple[str, ...]:
        """Everybody."""
        return ("samples",)


@config
class EqualOpportunity(_Published):
    """Equal opportunity: the largest difference between groups in the mean chance p of class 1, among those of class 1.

    The loss of fairlearn's `equal_opportunity_difference`, the difference of true-positive rates, with chances in the
    place of decisions; the DEO of Donini et al. (NeurIPS 2018).

    `form: published` is the DEO that COSMOS (Ruchte and Grabocka, ICDM 2021; `objectives.py` of its code) and its
    followers train: |Σ_{group 0, y = 1} tanh p − Σ_{group 1, y = 1} tanh p| / n, over all n samples of the batch. Sums
    are divided by n, not by the sizes of the groups: it is small where class 1 is rare, and 0 only where the larger
    group has smaller chances. More than two groups: max − min of the sums.

    Output: logits (b, 2), or (b, 1) or (b,) where class 1 is positive. Target: label and group, (b, 2); nan and
    `ignore_index` are unknown. In [0, 1]; 0 while fewer than two groups have samples of class 1 (in the published form
    a group without any has the sum 0). On batches see `moframework.losses.between_groups.BetweenGroups`.

    >>> output, target = torch.logit(torch.tensor([0.2, 0.4, 0.8])), torch.tensor([[1, 0], [0, 0], [1, 1]])
    >>> round(float(EqualOpportunity()(output, target)), 4)
    0.6
    >>> round(float(EqualOpportunity(form="published")(output, target)), 4)  # (tanh .8 − tanh .2) / 3
    0.1556
    """

    word: ClassVar[str] = "equal_opportunity"

    def rows(self, label: Tensor) -> Tensor:
        """Class 1."""
        return (label == 1).unsqueeze(1)

    def row_names(self) -> tuple[str, ...]:
        """Class 1."""
        return ("samples of class 1",)


@config
class EqualizedOdds(_OfLabels):
    """Equalized odds: the largest differences between groups in the mean chance p of class 1, among samples of class 1
    and among those of class 0.

    The loss of fairlearn's `equalized_odds_difference`, with chances in the place of decisions: of both differences,
    those of true-positive and false-positive rates, the larger one counts, or their mean.

    Output: logits (b, 2), or (b, 1) or (b,) where class 1 is positive. Target: label and group, (b, 2); nan and
    `ignore_index` are unknown. In [0, 1]; a class of which fewer than two groups have samples does not count, and
    without any it is 0. On batches see `moframework.losses.between_groups.BetweenGroups`.

    >>> output, target = torch.logit(torch.tensor([0.2, 0.4, 0.8, 0.6])), torch.tensor([[1, 0], [0, 0], [1, 1], [0, 1]])
    >>> round(float(EqualizedOdds()(output, target)), 4), round(float(EqualizedOdds(combine="mean")(output, target)), 4)
    (0.6, 0.4)
    """

    word: ClassVar[str] = "equalized_odds"

    combine: Literal["worst", "mean"] = option(
        "worst", help="worst: the larger of both differences; mean: their mean (fairlearn's agg)"
    )

    def rows(self, label: Tensor) -> Tensor:
        """Class 1, and class 0."""
        return torch.stack([label == 1, label == 0], dim=1)

    def row_names(self) -> tuple[str, ...]:
        """Class 1, and class 0."""
        return ("samples of class 1", "samples of class 0")

    def combined(self, gaps: Tensor, valid: Tensor) -> Tensor:
        """The larger one, or the mean of those that there are."""
        return gaps.amax(dim=-1) if self.combine == "worst" else ratio(gaps.sum(dim=-1), valid.sum(dim=-1))
