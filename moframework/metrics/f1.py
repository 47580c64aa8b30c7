"""F1 score."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from moframework.config import config, option
from moframework.metrics.base import Metric, classes, fed, labels

if TYPE_CHECKING:
    import torchmetrics

__all__ = ["F1"]


@config
class F1(Metric):
    """Harmonic mean of precision and recall.

    With size 1 that of class 1; otherwise averaged over the classes, where one that neither occurs nor is predicted
    does not count.

    >>> import torch
    >>> output, target = torch.tensor([2.0, 1.0, 1.0, -1.0]), torch.tensor([1, 0, 0, 1])
    >>> round(float(F1().make(size=1)(output, target)), 4)  # precision 1/3, recall 1/2
    0.4
    """

    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float | None] = 0.0
    best: ClassVar[float | None] = 1.0
    expects_logits: ClassVar[bool] = True

    average: Literal["macro", "micro", "weighted"] = option(
        "macro", help="over classes alike, over samples alike, or over classes weighted by how often they occur"
    )
    ignore_index: int = option(-100, help="target value of samples or pixels that do not count")

    @property
    def label(self) -> str:
        """`f1`."""
        return "f1"

    def make(self, size: int) -> torchmetrics.Metric:
        """torchmetrics' F1 on classes."""
        from torchmetrics import classification

        if size == 1:
            inner: torchmetrics.Metric = classification.BinaryF1Score(
                ignore_index=self.ignore_index, validate_args=False
            )
        else:
            inner = classification.MulticlassF1Score(
                size, average=self.average, ignore_index=self.ignore_index, validate_args=False
            )
        return fed(
            inner,
            lambda output, target: (classes(output, target, size), labels(target, self.ignore_index)),
            logits=size == 1,
        )
