"""Errors of regressed values: absolute, squared, relative."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from moframework.config import config, option
from moframework.metrics.base import Metric, mean_of, regressed, valid

if TYPE_CHECKING:
    import torchmetrics

__all__ = ["MAE", "MSE", "R2", "RMSE", "RelativeError"]


@config
class MAE(Metric):
    """Mean absolute error. Output (b, 1, ...) or as the target (b, ...).

    In the target's own units, where the data has it standardized; `mse`, `rmse` and `relative_error` are so too.

    >>> output, target = torch.tensor([1.0, 2.0, 5.0]), torch.tensor([0.0, 5.0, float("nan")])
    >>> float(MAE().make(size=1)(output, target))  # (1 + 3) / 2
    2.0
    """

    higher_is_better: ClassVar[bool] = False
    best: ClassVar[float | None] = 0.0
    in_units: ClassVar[bool] = True

    invalid: float | None = option(None, help="target value that means unknown and does not count; none: all count")

    @property
    def label(self) -> str:
        """`mae`."""
        return "mae"

    def make(self, size: int) -> torchmetrics.Metric:
        """The mean of absolute differences."""

        def difference(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
            return (regressed(output, target) - target).abs(), valid(target, self.invalid)

        return mean_of(difference)


@config
class MSE(Metric):
    """Mean squared error. Output (b, 1, ...) or as the target (b, ...).

    >>> output, target = torch.tensor([1.0, 2.0, 5.0]), torch.tensor([0.0, 5.0, -1.0])
    >>> float(MSE(invalid=-1.0).make(size=1)(output, target))  # (1² + 3²) / 2
    5.0
    """

    higher_is_better: ClassVar[bool] = False
    best: ClassVar[float | None] = 0.0
    in_units: ClassVar[bool] = True

    invalid: float | None = option(None, help="target value that means unknown and does not count; none: all count")

    @property
    def label(self) -> str:
        """`mse`."""
        return "mse"

    def make(self, size: int) -> torchmetrics.Metric:
        """The mean of squared differences."""

        return _mean_square(self.invalid)


@config
class RMSE(Metric):
    """Root of the mean squared error. Output (b, 1, ...) or as the target (b, ...).

    >>> output, target = torch.tensor([1.0, 2.0]), torch.tensor([2.0, 9.0])
    >>> float(RMSE().make(size=1)(output, target))  # √((1² + 7²) / 2)
    5.0
    """

    higher_is_better: ClassVar[bool] = False
    best: ClassVar[float | None] = 0.0
    in_units: ClassVar[bool] = True

    invalid: float | None = option(None, help="target value that means unknown and does not count; none: all count")

    @property
    def label(self) -> str:
        """`rmse`."""
        return "rmse"

    def make(self, size: int) -> torchmetrics.Metric:
        """The mean of squared differences, of which the root is taken at the end."""
        made: torchmetrics.Metric = _mean_square(self.invalid) ** 0.5
        return made


@config
class R2(Metric):
    """Coefficient of determination: 1 − squared error over the variance of the targets, both over all the data.

    1 is perfect; 0 is as good as always saying the mean of these targets; nan where they do not vary. Output
    (b, 1, ...) or as the target (b, ...).

    >>> output, target = torch.tensor([0.0, 2.0, 3.0]), torch.tensor([0.0, 2.0, 4.0])
    >>> float(R2().make(size=1)(output, target))  # 1 − 1² / (2² + 0 + 2²)
    0.875
    """

    higher_is_better: ClassVar[bool] = True
    best: ClassVar[float | None] = 1.0

    invalid: float | None = option(None, help="target value that means unknown and does not count; none: all count")

    @property
    def label(self) -> str:
        """`r2`."""
        return "r2"

    def make(self, size: int) -> torchmetrics.Metric:
        """Sums of the targets, of their squares, and of squared differences."""
        made: torchmetrics.Metric = _determination()(self.invalid)
        return made


@config
class RelativeError(Metric):
    """Mean of |output − target| / |target|. Output (b, 1, ...) or as the target (b, ...).

    A fraction, not a percentage. The relative error of depth maps in MTAN and what follows it, where 0 means unknown
    and does not count; tables often give it times 100.

    >>> output, target = torch.tensor([1.0, 3.0, 5.0]), torch.tensor([2.0, 4.0, 0.0])
    >>> float(RelativeError().make(size=1)(output, target))  # (1/2 + 1/4) / 2; 0 is unknown
    0.375
    """

    higher_is_better: ClassVar[bool] = False
    best: ClassVar[float | None] = 0.0
    in_units: ClassVar[bool] = True

    invalid: float = option(
        0.0, help="target value that means unknown and does not count; a true value of 0 never counts"
    )

    @property
    def label(self) -> str:
        """`relative_error`."""
        return "relative_error"

    def make(self, size: int) -> torchmetrics.Metric:
        """The mean of quotients."""

        def quotient(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
            counts = valid(target, self.invalid) & (target != 0)
            error = (regressed(output, target) - target).abs()
            return error / torch.where(counts, target, torch.ones_like(target)).abs(), counts

        return mean_of(quotient)


def _mean_square(invalid: float | None) -> torchmetrics.Metric:
    def difference(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return (regressed(output, target) - target).square(), valid(target, invalid)

    return mean_of(difference)


@functools.cache
def _determination() -> Any:
    """The torchmetrics class behind `R2`; defined late because the import is slow."""
    import torchmetrics

    class Determination(torchmetrics.Metric):
        full_state_update = False
        sums: Tensor

        def __init__(self, invalid: float | None) -> None:
            super().__init__()
            self.invalid = invalid
            self.add_state("sums", torch.zeros(4), dist_reduce_fx="sum")

        def update(self, output: Tensor, target: Tensor) -> None:
            # Float64 where the device has it: the variance is a difference of sums that may be far larger.
            wide = torch.float32 if output.device.type == "mps" else torch.float64
            counts = valid(target, self.invalid)
            known = torch.where(counts, target, torch.zeros_like(target)).to(wide)
            error = torch.where(counts, regressed(output, target) - target, torch.zeros_like(target)).to(wide)
            found = [counts.to(wide).sum(), known.sum(), known.square().sum(), error.square().sum()]
            self.sums = self.sums.to(wide) + torch.stack(found)

        def compute(self) -> Tensor:
            count, total, squares, error = self.sums
            variation = squares - total.square() / count
            # Rounding leaves a little of what should be nothing.
            varies = variation > 1e-12 * squares
            return torch.where(varies, 1 - error / torch.where(varies, variation, 1.0), torch.nan)

    return Determination
