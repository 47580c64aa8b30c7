"""Angles between predicted and true directions, such as surface normals."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from moframework.config import config, option
from moframework.metrics.base import Metric, mean_of

if TYPE_CHECKING:
    import torchmetrics

__all__ = ["AngleWithin", "MeanAngle", "MedianAngle", "angles"]

_BIN = 0.01  # degrees


def angles(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The angle between two vectors, at each position.

    Args:
        output, target: (b, c, ...), vectors of any length along dimension 1. A target of all zeros, or with
            a nan, means unknown.

    Returns:
        degrees in [0, 180] (b, ...), float32 or wider, and where the target is known. An output of all zeros points
        nowhere: 90 degrees.

    Raises:
        ValueError: the shapes differ.

    >>> angles(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 1.0]]))[0]
    tensor([45.])
    """
    if output.shape != target.shape or output.dim() < 2:
        raise ValueError(
            f"angles need outputs and targets (b, c, ...) of one shape, "
            f"but have {tuple(output.shape)} and {tuple(target.shape)}"
        )
    wide = torch.float64 if output.dtype == torch.float64 else torch.float32
    a, b = _unit(output.to(wide)), _unit(target.to(wide))
    # By half the angle, exact everywhere: the arc cosine loses half of the digits near 0 and 180 degrees.
    half = torch.atan2(_length(a - b), _length(a + b))
    return half * (360 / math.pi), (target != 0).any(dim=1) & ~target.isnan().any(dim=1)


def _length(vectors: Tensor) -> Tensor:
    """Lengths along dimension 1, (b, ...). torch's norm takes several times as long over so short a dimension."""
    return vectors.square().sum(dim=1).sqrt()


def _unit(vectors: Tensor) -> Tensor:
    """Vectors of length 1 along dimension 1; zeros stay. 1e-12 as in torch's normalize."""
    return vectors / _length(vectors).clamp_min(1e-12).unsqueeze(1)


@config
class MeanAngle(Metric):
    """Mean angle between two directions, in degrees.

    Output and target: vectors of any length along dimension 1, (b, c, ...). A target of all zeros, or with a nan,
    means unknown and does not count.

    >>> output, target = torch.tensor([[0.0, 2.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    >>> round(float(MeanAngle().make(size=2)(output, target)), 2)  # of 0 and 90 degrees
    45.0
    """

    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float | None] = 180.0
    best: ClassVar[float | None] = 0.0

    @property
    def label(self) -> str:
        """`mean_angle`."""
        return "mean_angle"

    def make(self, size: int) -> torchmetrics.Metric:
        """The mean of angles."""
        return mean_of(angles)


@config
class MedianAngle(Metric):
    """Median angle between two directions, in degrees, over all positions. Output and target as for `mean_angle`.

    From a histogram kept on the device, not from stored angles: within 0.005 degrees of the exact median (of an even
    number of angles, the lower of the middle two), whatever the size of the data.

    >>> output, target = torch.tensor([[0.0, 2.0], [1.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 1.0]]).expand(3, 2)
    >>> round(float(MedianAngle().make(size=2)(output, target)), 1)  # of 0, 90 and 45 degrees
    45.0
    """

    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float | None] = 180.0
    best: ClassVar[float | None] = 0.0

    @property
    def label(self) -> str:
        """`median_angle`."""
        return "median_angle"

    def make(self, size: int) -> torchmetrics.Metric:
        """A histogram of angles."""
        made: torchmetrics.Metric = _histogram()()
        return made


@config
class AngleWithin(Metric):
    """Share of positions whose angle is less than a bound. Output and target as for `mean_angle`.

    >>> output, target = torch.tensor([[0.0, 2.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    >>> float(AngleWithin(degrees=30).make(size=2)(output, target))  # of 0 and 90 degrees
    0.5
    """

    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float | None] = 0.0
    best: ClassVar[float | None] = 1.0

    degrees: float = option(11.25, gt=0, le=180, help="the bound; customary are 11.25, 22.5 and 30")

    @property
    def label(self) -> str:
        """`within_11.25`."""
        return f"within_{self.degrees:g}"

    def make(self, size: int) -> torchmetrics.Metric:
        """The mean of being within (1) and not (0)."""

        def within(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
            found, known = angles(output, target)
            return (found < self.degrees).float(), known

        return mean_of(within)


@functools.cache
def _histogram() -> Any:
    """The torchmetrics class behind `MedianAngle`; defined late because the import is slow."""
    import torchmetrics

    class Histogram(torchmetrics.Metric):
        full_state_update = False
        counts: Tensor

        def __init__(self) -> None:
            super().__init__()
            bins = round(180 / _BIN)
            self.add_state("counts", torch.zeros(bins, dtype=torch.long), dist_reduce_fx="sum")

        def update(self, output: Tensor, target: Tensor) -> None:
            found, known = angles(output, target)
            places = (found / _BIN).long().clamp(0, len(self.counts) - 1).flatten()
            # Not torch.histc or bincount, which ask the device for extremes first.
            self.counts = self.counts.scatter_add(0, places, known.flatten().long())

        def compute(self) -> Tensor:
            below = self.counts.cumsum(dim=0)
            half = (below[-1:] + 1) // 2
            middle = (torch.searchsorted(below, half).squeeze(0) + 0.5) * _BIN
            return torch.where(below[-1] > 0, middle, torch.full_like(middle, math.nan))

    return Histogram
