"""How well scores rank the samples of a class before all others, whatever the threshold."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from moframework.config import config, option
from moframework.metrics.base import Metric, kept, labels, one_each

if TYPE_CHECKING:
    import torchmetrics

__all__ = ["AUROC", "AveragePrecision"]


def _by_scores(
    size: int, ignored: int, average: str, of_class: Callable[[Tensor, Tensor], float]
) -> torchmetrics.Metric:
    """`of_class(scores, positive)`, both (k,), averaged over the classes for which it can be told."""

    def value(outputs: Tensor, targets: Tensor) -> float:
        # Float64, which not every device has: a probability in float32 rounds to 1 early, which would make ties.
        counts = (targets != ignored).cpu()
        scores, true = outputs.cpu().double()[counts], targets.cpu()[counts]
        if size == 1:
            return _both(scores, true == 1, of_class)
        scores = scores.log_softmax(dim=1)
        found = torch.tensor([_both(scores[:, c], true == c, of_class) for c in range(size)])
        weights = torch.ones(size) if average == "macro" else torch.bincount(true, minlength=size)[:size].float()
        weights = torch.where(found.isnan(), 0.0, weights)
        return float((found.nan_to_num() * weights).sum() / weights.sum())

    def transform(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return one_each(output, labels(target, ignored), size)

    return kept(transform, value)


def _both(scores: Tensor, positive: Tensor, of_class: Callable[[Tensor, Tensor], float]) -> float:
    """`of_class`, or nan where there are no positive samples or no others."""
    return of_class(scores, positive) if 0 < int(positive.sum()) < len(positive) else math.nan


def _auroc(scores: Tensor, positive: Tensor) -> float:
    """Mann and Whitney's statistic, from mean ranks of ties, over the number of pairs."""
    _, places, counts = torch.unique(scores, return_inverse=True, return_counts=True)
    ranks = (counts.cumsum(0) - (counts - 1) / 2)[places].double()
    ours = int(positive.sum())
    wins = float(ranks[positive].sum()) - ours * (ours + 1) / 2
    return wins / (ours * (len(scores) - ours))


def _average_precision(scores: Tensor, positive: Tensor) -> float:
    """Over the thresholds that the scores are, from the highest down."""
    values, places = torch.unique(scores, return_inverse=True)
    count = torch.zeros(len(values), dtype=torch.float64)
    claimed = count.scatter_add(0, places, torch.ones_like(scores)).flip(0).cumsum(0)
    gained = count.scatter_add(0, places, positive.double()).flip(0)
    return float((gained * gained.cumsum(0) / claimed).sum() / gained.sum())


@config
class _Ranking(Metric):
    """How scores rank samples, for each class against all others."""

    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float | None] = 0.0
    best: ClassVar[float | None] = 1.0

    average: Literal["macro", "weighted"] = option(
        "macro", help="over classes alike, or weighted by how often they occur"
    )
    ignore_index: int = option(-100, help="target value of samples or pixels that do not count")

    @abstractmethod
    def of_class(self, scores: Tensor, positive: Tensor) -> float:
        """That of one class, from the scores and which samples are of it, both (k,)."""

    def make(self, size: int) -> torchmetrics.Metric:
        """Exact, over all thresholds."""
        return _by_scores(size, self.ignore_index, self.average, self.of_class)


@config
class AUROC(_Ranking):
    """Area under the ROC curve: the chance that a sample of a class gets a higher score than one that is not of it,
    ties counted half.

    With size 1 that of class 1, by its logit; otherwise of each class against all others, by its probability, averaged
    over the classes. A class that never occurs, or is the only one, does not count; nan where that leaves none. Outputs
    of the whole split are kept until the end.

    >>> output, target = torch.tensor([0.1, 0.4, 0.3, 0.8]), torch.tensor([0, 0, 1, 1])
    >>> float(AUROC().make(size=1)(output, target))  # of 4 pairs all but (0.3, 0.4)
    0.75
    """

    @property
    def label(self) -> str:
        """`auroc`."""
        return "auroc"

    def of_class(self, scores: Tensor, positive: Tensor) -> float:
        """Mann and Whitney's statistic over the number of pairs."""
        return _auroc(scores, positive)


@config
class AveragePrecision(_Ranking):
    """Average precision: the precision at each threshold, weighted by the gain in recall, as scikit-learn has it.

    Classes, and what is kept, as for `auroc`.

    >>> output, target = torch.tensor([0.1, 0.4, 0.3, 0.8]), torch.tensor([0, 0, 1, 1])
    >>> round(float(AveragePrecision().make(size=1)(output, target)), 4)  # ½ · 1 + ½ · 2/3
    0.8333
    """

    @property
    def label(self) -> str:
        """`average_precision`."""
        return "average_precision"

    def of_class(self, scores: Tensor, positive: Tensor) -> float:
        """Over the thresholds that the scores are."""
        return _average_precision(scores, positive)
