"""Share of right classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from moframework.config import config, option
from moframework.metrics.base import Metric, classes, mean_of, valid

if TYPE_CHECKING:
    import torchmetrics

__all__ = ["Accuracy"]


@config
class Accuracy(Metric):
    """Share of samples or positions that get the right class.

    Output: logits (b, size, ...), or (b, 1, ...) and (b, ...) for size 1, where positive means class 1.

    >>> import torch
    >>> output = torch.tensor([[2.0, 0.0, 1.0], [0.0, 0.0, 3.0], [1.0, 0.0, 0.0]])
    >>> float(Accuracy().make(size=3)(output, torch.tensor([0, 1, -100])))  # -100 is unknown
    0.5
    """

    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float | None] = 0.0
    best: ClassVar[float | None] = 1.0
    expects_logits: ClassVar[bool] = True

    ignore_index: int = option(-100, help="target value of samples or pixels that do not count")

    @property
    def label(self) -> str:
        """`accuracy`."""
        return "accuracy"

    def make(self, size: int) -> torchmetrics.Metric:
        """The mean of right (1) and wrong (0), without what is ignored."""

        def right(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
            return (classes(output, target, size) == target).float(), valid(target, self.ignore_index)

        return mean_of(right, logits=size == 1)
