"""Errors of regressed values: absolute, squared, relative."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from moframework.config import config, option
from moframework.metrics.base import Metric, mean_of, regressed, valid

if TYPE_CHECKING:
    import torchmetrics

__all__ = ["MAE", "MSE", "RelativeError"]


@config
class MAE(Metric):
    """Mean absolute error. Output (b, 1, ...) or as the target (b, ...)."""

    higher_is_better: ClassVar[bool] = False

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
    """Mean squared error. Output (b, 1, ...) or as the target (b, ...)."""

    higher_is_better: ClassVar[bool] = False

    invalid: float | None = option(None, help="target value that means unknown and does not count; none: all count")

    @property
    def label(self) -> str:
        """`mse`."""
        return "mse"

    def make(self, size: int) -> torchmetrics.Metric:
        """The mean of squared differences."""

        def difference(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
            return (regressed(output, target) - target).square(), valid(target, self.invalid)

        return mean_of(difference)


@config
class RelativeError(Metric):
    """Mean of |output − target| / |target|. Output (b, 1, ...) or as the target (b, ...).

    A fraction, not a percentage. The relative error of depth maps in MTAN and what follows it, where 0 means unknown
    and does not count; tables often give it times 100.
    """

    higher_is_better: ClassVar[bool] = False

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
