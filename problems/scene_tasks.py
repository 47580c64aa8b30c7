"""The three tasks of multi-task dense prediction, with the losses and metrics of MTAN and what follows it.

Segmentation: cross-entropy over pixels, label −1 does not count; mIoU and pixel accuracy. Depth: absolute error where
the true depth is not 0; absolute and relative error. Surface normals: 1 − cosine; mean and median angle, and the shares
within 11.25, 22.5 and 30 degrees (Liu, Johns and Davison, CVPR 2019, arXiv 1803.10704).
"""

from __future__ import annotations

from collections.abc import Mapping

from moframework.augmentations import MapKind
from moframework.losses import Cosine, CrossEntropy, MaskedL1
from moframework.metrics import MAE, Accuracy, AngleWithin, IoU, MeanAngle, MedianAngle, RelativeError
from moframework.problem.task import Task

__all__ = ["IGNORED", "MAPS", "depth", "normal", "segmentation"]

IGNORED = -1
"""Label of pixels that do not count."""

MAPS: Mapping[str, MapKind] = {"segmentation": "classes", "depth": "depth", "normal": "normals"}
"""What the three targets show, as augmentations ask."""


def segmentation(classes: int) -> Task:
    """Which of the classes each pixel shows; targets (b, h, w), integers, −1 for unknown."""
    loss = CrossEntropy(ignore_index=IGNORED)
    metrics = (IoU(ignore_index=IGNORED), Accuracy(ignore_index=IGNORED))
    return Task(name="segmentation", loss=loss, metrics=metrics, size=classes)


def depth() -> Task:
    """How far what each pixel shows is away; targets (b, 1, h, w), 0 for unknown."""
    return Task(name="depth", loss=MaskedL1(), metrics=(MAE(invalid=0.0), RelativeError()))


def normal() -> Task:
    """The surface normal at each pixel; targets (b, 3, h, w), zeros for unknown."""
    shares = tuple(AngleWithin(degrees=degrees) for degrees in (11.25, 22.5, 30.0))
    return Task(name="normal", loss=Cosine(), metrics=(MeanAngle(), MedianAngle(), *shares), size=3)
