"""Intersection over union of segmentations."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from moframework.config import config, option
from moframework.metrics.base import Metric, classes, fed, labels, mean_of

if TYPE_CHECKING:
    import torchmetrics

__all__ = ["IoU"]


@config
class IoU(Metric):
    """Intersection over union of predicted and true class, mean over the classes that occur or are predicted (mIoU).

    With size 1, over the two classes that the sign of the output tells apart. Two conventions are about, both here:
    counts of the whole data set, one mean over classes at the end (`over: data`; today's tables, and MTAN's present
    code, where a class that never occurs nor is predicted would give nan rather than be left out); or the mean over
    images of each image's own mean over classes (`over: image`; MTAN's first code, in which rare classes weigh less).

    A class that `ignore_index` names is left out of the mean, over the data and over images alike; pixels of other
    classes that are taken for it are misses of theirs.

    >>> output = torch.tensor([[[0.0, 0.0, 1.0, 1.0]]])  # one image of four pixels, of one logit each
    >>> round(float(IoU().make(size=1)(output, torch.tensor([[0, 0, 0, 1]]))), 4)  # (2/3 + 1/2) / 2
    0.5833
    """

    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float | None] = 0.0
    best: ClassVar[float | None] = 1.0

    ignore_index: int = option(-100, help="target value of samples or pixels that do not count")
    over: Literal["data", "image"] = option(
        "data", help="what intersections and unions are counted over: all the data, or each image, then their mean"
    )

    @property
    def label(self) -> str:
        """`iou`."""
        return "iou"

    def make(self, size: int) -> torchmetrics.Metric:
        """torchmetrics' Jaccard index on classes; over images, the mean of theirs."""
        if self.over == "image":
            return mean_of(lambda output, target: _of_images(classes(output, target, size), target, size, self))

        from torchmetrics.classification import MulticlassJaccardIndex

        inner = MulticlassJaccardIndex(max(size, 2), ignore_index=self.ignore_index, validate_args=False)
        return fed(inner, lambda output, target: (classes(output, target, size), labels(target, self.ignore_index)))


def _of_images(predicted: Tensor, target: Tensor, size: int, metric: IoU) -> tuple[Tensor, Tensor]:
    """Mean IoU of each image (b,), and whether any of its pixels counts (b,)."""
    true, guessed = labels(target, metric.ignore_index)[:, None].flatten(1), predicted[:, None].flatten(1)
    counts = true != metric.ignore_index
    true = torch.where(counts, true, 0)
    hits, occurs, claimed = (
        torch.zeros(len(true), max(size, 2), device=true.device).scatter_add(1, index, where.float())
        for index, where in ((true, counts & (true == guessed)), (true, counts), (guessed, counts))
    )
    union = occurs + claimed - hits
    present = union > 0
    if 0 <= metric.ignore_index < present.shape[1]:
        present[:, metric.ignore_index] = False
    ratios = hits / torch.where(present, union, torch.ones_like(union))
    return ratios.sum(dim=1) / present.sum(dim=1).clamp_min(1), counts.any(dim=1)
