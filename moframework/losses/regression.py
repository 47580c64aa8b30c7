"""Losses of numbers: squared, absolute and Huber differences, and absolute ones where the target is valid."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from moframework.config import config, option
from moframework.losses.base import MeanLoss, known_targets, same_shape

__all__ = ["L1", "MSE", "Huber", "MaskedL1"]


class _Difference(MeanLoss):
    """A loss of the difference of outputs and targets of one shape, which torch has with its mean."""

    word: ClassVar[str]
    """What a spec calls it."""

    def values(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """The loss of each number."""
        return self._reduced(*same_shape(output, target, self.word), "none"), None

    def mean(self, output: Tensor, target: Tensor) -> Tensor:
        """See `MeanLoss.mean`. An output stands in for a target that is unknown, from which it then does not differ:
        half of the operations that leaving it out would take."""
        output, target = same_shape(output, target, self.word)
        known = known_targets(target)
        total = self._reduced(output, torch.where(known, target, output.detach()), "sum")
        return total / known.sum().clamp_min(1)

    @abstractmethod
    def _reduced(self, output: Tensor, target: Tensor, reduction: str) -> Tensor:
        """As the function of torch."""


@config
class MSE(_Difference):
    """Mean squared error. Output (b, 1, ...) or as the target (b, ...), where nan is unknown and does not count.

    >>> float(MSE()(torch.tensor([1.0, 2.0, 5.0]), torch.tensor([0.0, 5.0, float("nan")])))  # (1² + 3²) / 2
    5.0
    """

    word: ClassVar[str] = "mse"

    @property
    def likelihood(self) -> Literal["gaussian"]:
        """See `Loss.likelihood`."""
        return "gaussian"

    def _reduced(self, output: Tensor, target: Tensor, reduction: str) -> Tensor:
        return functional.mse_loss(output, target, reduction=reduction)


@config
class L1(_Difference):
    """Mean absolute error. Output (b, 1, ...) or as the target (b, ...), where nan is unknown and does not count.

    >>> float(L1()(torch.tensor([1.0, 2.0, 5.0]), torch.tensor([0.0, 5.0, float("nan")])))  # (1 + 3) / 2
    2.0
    """

    word: ClassVar[str] = "l1"

    def _reduced(self, output: Tensor, target: Tensor, reduction: str) -> Tensor:
        return functional.l1_loss(output, target, reduction=reduction)


@config
class Huber(_Difference):
    """Huber loss: squared (halved) below `delta`, linear beyond; as `torch.nn.functional.huber_loss`. A target of nan
    is unknown and does not count.

    >>> output, target = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 5.0])
    >>> float(Huber(delta=2.0)(output, target))  # (½ 1² + 2 (3 − ½ 2)) / 2
    2.25
    """

    word: ClassVar[str] = "huber"
    delta: float = option(1.0, gt=0, help="difference at which the loss turns from squared to linear")

    def _reduced(self, output: Tensor, target: Tensor, reduction: str) -> Tensor:
        return functional.huber_loss(output, target, reduction=reduction, delta=self.delta)


@config
class MaskedL1(MeanLoss):
    """Mean absolute error over valid targets, such as depth maps in which 0 means unknown.

    Output (b, 1, ...) or as the target (b, ...), where nan is unknown too.

    >>> float(MaskedL1()(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 0.0, 5.0])))  # (1 + 2) / 2
    1.5
    """

    invalid: float = option(0.0, help="target value that means unknown and does not count")

    def known(self, target: Tensor) -> Tensor:
        """See `Loss.known`: neither nan nor `invalid`."""
        return known_targets(target, self.invalid)

    def values(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """Absolute differences, and what is valid."""
        output, target = same_shape(output, target, "masked_l1")
        valid = target != self.invalid
        return torch.where(valid, (output - target).abs(), torch.zeros_like(output)), valid
