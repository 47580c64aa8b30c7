"""How far stated probabilities are from what happens."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from moframework.config import config, option
from moframework.metrics.base import Metric, labels, one_each

if TYPE_CHECKING:
    import torchmetrics

__all__ = ["CalibrationError"]


@config
class CalibrationError(Metric):
    """Expected calibration error: |stated probability − share that came true|, mean over bins of equal width, weighted
    by the samples in them (Guo et al., ICML 2017, arXiv 1706.04599).

    With size 1 the probability of class 1 is held against its share, otherwise that of the predicted class against the
    share of right predictions. In [0, 1].

    >>> output, target = torch.logit(torch.tensor([0.8, 0.8, 0.8, 0.8])), torch.tensor([1, 1, 0, 0])
    >>> round(float(CalibrationError().make(size=1)(output, target)), 4)  # said 0.8, came true 0.5
    0.3
    """

    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float | None] = 1.0
    best: ClassVar[float | None] = 0.0
    expects_logits: ClassVar[bool] = True

    bins: int = option(15, ge=1, le=10_000, help="bins of equal width over [0, 1]")
    ignore_index: int = option(-100, help="target value of samples or pixels that do not count")

    @property
    def label(self) -> str:
        """`calibration_error`."""
        return "calibration_error"

    def make(self, size: int) -> torchmetrics.Metric:
        """Sums by bin."""
        made: torchmetrics.Metric = _binned()(size, self.bins, self.ignore_index)
        return made


@functools.cache
def _binned() -> Any:
    """The torchmetrics class; defined late because the import is slow. Unlike torchmetrics' own it keeps no outputs,
    and does not guess from each batch whether it is given logits."""
    import torchmetrics

    class Binned(torchmetrics.Metric):
        full_state_update = False
        sums: Tensor

        def __init__(self, size: int, bins: int, ignored: int) -> None:
            super().__init__()
            self.size, self.ignored = size, ignored
            self.register_buffer("edges", torch.linspace(0, 1, bins + 1)[1:-1], persistent=False)
            # The last place is that of what does not count.
            self.add_state("sums", torch.zeros(3, bins + 1), dist_reduce_fx="sum")

        def update(self, output: Tensor, target: Tensor) -> None:
            found, true = one_each(output.float(), labels(target, self.ignored), self.size)
            if self.size == 1:
                stated, happened = found.sigmoid(), (true == 1).float()
            else:
                stated, predicted = found.softmax(dim=1).max(dim=1)
                happened = (predicted == true).float()
            edges: Any = self.edges
            places = torch.where(true != self.ignored, torch.bucketize(stated, edges, right=True), len(edges) + 1)
            values = torch.stack([stated, happened, torch.ones_like(stated)])
            self.sums = self.sums.scatter_add(1, places.expand_as(values), values)

        def compute(self) -> Tensor:
            stated, happened, count = self.sums[:, :-1]
            error: Tensor = (stated - happened).abs().sum() / count.sum()
            return error

    return Binned
