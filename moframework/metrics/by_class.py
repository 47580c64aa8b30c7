"""Precision, recall, and accuracy that counts all classes alike."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from moframework.config import config, option
from moframework.metrics.base import Metric, classes, counted_by_class, labels

if TYPE_CHECKING:
    import torchmetrics

__all__ = ["BalancedAccuracy", "Precision", "Recall"]

Average = Literal["macro", "micro", "weighted"]


@config
class _OfClasses(Metric):
    """A share of right decisions for each class."""

    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float | None] = 0.0
    best: ClassVar[float | None] = 1.0
    expects_logits: ClassVar[bool] = True

    average: Average = option(
        "macro", help="over classes alike, over samples alike, or over classes weighted by how often they occur"
    )
    ignore_index: int = option(-100, help="target value of samples or pixels that do not count")

    @abstractmethod
    def binary(self, hits: Tensor, occurs: Tensor, claimed: Tensor) -> Tensor:
        """That of class 1, from counts by class (2,): of right predictions, of occurrences, of predictions."""

    @abstractmethod
    def whole(self, occurs: Tensor, claimed: Tensor) -> Tensor:
        """What right predictions are a share of, by class."""

    def make(self, size: int) -> torchmetrics.Metric:
        """Counts by class."""

        def value(counts: Tensor) -> Tensor:
            hits, occurs, claimed = counts
            if size == 1:
                return self.binary(hits, occurs, claimed)
            return _averaged(hits, self.whole(occurs, claimed), counts, self.average)

        return _counted(size, self.ignore_index, value)


@config
class Precision(_OfClasses):
    """Share of the samples predicted as a class that are of it; 0 where none is predicted.

    With size 1 that of class 1; otherwise averaged over the classes, where one that neither occurs nor is predicted
    does not count.

    >>> output, target = torch.tensor([2.0, 1.0, 1.0, -1.0]), torch.tensor([1, 0, 0, 1])
    >>> round(float(Precision().make(size=1)(output, target)), 4)  # 1 of 3 that are predicted
    0.3333
    """

    @property
    def label(self) -> str:
        """`precision`."""
        return "precision"

    def binary(self, hits: Tensor, occurs: Tensor, claimed: Tensor) -> Tensor:
        """nan without any sample."""
        return _or_zero(hits[1], claimed[1]) if occurs.sum() else occurs.sum() / 0

    def whole(self, occurs: Tensor, claimed: Tensor) -> Tensor:
        """Predictions."""
        return claimed


@config
class Recall(_OfClasses):
    """Share of the samples of a class that are predicted as it.

    With size 1 that of class 1 (nan where it never occurs); otherwise averaged as `precision` is.

    >>> output, target = torch.tensor([2.0, 1.0, 1.0, -1.0]), torch.tensor([1, 0, 0, 1])
    >>> float(Recall().make(size=1)(output, target))  # 1 of 2 that there are
    0.5
    """

    @property
    def label(self) -> str:
        """`recall`."""
        return "recall"

    def binary(self, hits: Tensor, occurs: Tensor, claimed: Tensor) -> Tensor:
        """nan where class 1 never occurs."""
        return hits[1] / occurs[1]

    def whole(self, occurs: Tensor, claimed: Tensor) -> Tensor:
        """Occurrences."""
        return occurs


@config
class BalancedAccuracy(Metric):
    """Mean over the classes of the share of their samples that get the right class, as scikit-learn has it.

    Classes that never occur do not count; with one class alone it is nan, for it says nothing of the others. Output as
    `accuracy` has it.

    >>> output, target = torch.tensor([2.0, -1.0, -1.0, -1.0, 1.0, -1.0]), torch.tensor([1, 1, 0, 0, 0, 0])
    >>> float(BalancedAccuracy().make(size=1)(output, target))  # (1/2 + 3/4) / 2
    0.625
    """

    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float | None] = 0.0
    best: ClassVar[float | None] = 1.0
    expects_logits: ClassVar[bool] = True

    ignore_index: int = option(-100, help="target value of samples or pixels that do not count")

    @property
    def label(self) -> str:
        """`balanced_accuracy`."""
        return "balanced_accuracy"

    def make(self, size: int) -> torchmetrics.Metric:
        """Counts by class."""

        def value(counts: Tensor) -> Tensor:
            hits, occurs, _ = counts
            there = occurs > 0
            shares = (hits / occurs)[there]
            return shares.mean() if len(shares) > 1 else torch.tensor(float("nan"))

        return _counted(size, self.ignore_index, value)


def _counted(size: int, ignored: int, value: Callable[[Tensor], Tensor]) -> torchmetrics.Metric:
    def transform(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        true = labels(target, ignored)
        # Classes that are ignored may lie in between the others.
        return classes(output, target, size), torch.where(true == ignored, -1, true)

    return counted_by_class(max(size, 2), transform, value, logits=size == 1)


def _or_zero(hits: Tensor, of: Tensor) -> Tensor:
    return torch.where(of > 0, hits / of.clamp_min(1), 0.0)


def _averaged(hits: Tensor, of: Tensor, counts: Tensor, average: str) -> Tensor:
    """The shares hits / of (size,), averaged over the classes."""
    if average == "micro":
        return hits.sum() / of.sum()
    there = counts[1] + counts[2] > 0
    weights = counts[1] if average == "weighted" else there.double()
    return (_or_zero(hits, of) * weights).sum() / weights.sum()
