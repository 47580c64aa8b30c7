"""The contract of a metric, and what several of them need."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from moframework.config import Component

if TYPE_CHECKING:
    import torchmetrics

__all__ = ["Metric", "Transform", "classes", "fed", "labels", "mean_of", "regressed", "valid"]

Transform = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Metric(Component, kind="metrics"):
    """A number that says how well a task is done over a whole data set.

    Unlike a loss it need not be differentiable, and larger may be better: that is class data. torchmetrics, which takes
    seconds to import, is imported when a metric is first made.
    """

    higher_is_better: ClassVar[bool]
    """The direction."""
    worst: ClassVar[float | None] = None
    """The worst possible value, the reference of hypervolumes over this metric; None when there is none."""

    @property
    @abstractmethod
    def label(self) -> str:
        """How results call it, different from the task's other metrics: `accuracy`."""

    @abstractmethod
    def make(self, size: int) -> torchmetrics.Metric:
        """A fresh accumulator.

        Args:
            size: width of the task's output: classes, or 1 for a logit or a regressed value.

        Returns:
            a torchmetrics metric whose `update(output, target)` takes what losses take: raw outputs (logits) of any
            precision and targets. Targets that are nan, or what the metric ignores, are unknown and do not count:
            see `valid` and `labels`. `compute()` of no counted sample is nan or 0, as torchmetrics has it.
        """


def classes(output: Tensor, target: Tensor, size: int) -> Tensor:
    """Predicted classes in the shape of `target`. The sign decides a single logit, whatever its range."""
    if size > 1:
        return output.argmax(dim=1)
    return (_squeezed(output, target) > 0).long()


def _squeezed(output: Tensor, target: Tensor) -> Tensor:
    if output.dim() == target.dim() + 1 and output.shape[1] == 1:
        output = output.squeeze(1)
    if output.shape != target.shape:
        raise ValueError(f"outputs {tuple(output.shape)} and targets {tuple(target.shape)} do not go together")
    return output


def regressed(output: Tensor, target: Tensor) -> Tensor:
    """Regressed values in the shape of `target`, float32 at least. Raises ValueError for another shape."""
    output = _squeezed(output, target)
    return output.float() if output.dtype in (torch.float16, torch.bfloat16) else output


def valid(target: Tensor, invalid: float | None) -> Tensor:
    """Which targets are known: all but nan and those equal to `invalid`."""
    known = target == target  # nan alone differs from itself
    return known if invalid is None else known & (target != invalid)


def labels(target: Tensor, ignored: int) -> Tensor:
    """True classes as integers, in the shape of `target`; nan, which is unknown, becomes the class `ignored`.

    >>> labels(torch.tensor([1.0, float("nan")]), -100).tolist()
    [1, -100]
    """
    return torch.where(valid(target, None), target, ignored).long()


def mean_of(values: Transform) -> torchmetrics.Metric:
    """A metric that is the mean of the values that `values(output, target)` says count."""
    made: torchmetrics.Metric = _wrappers()[0](values)
    return made


def fed(inner: torchmetrics.Metric, transform: Transform) -> torchmetrics.Metric:
    """`inner`, updated with what `transform` makes of raw outputs and targets."""
    made: torchmetrics.Metric = _wrappers()[1](inner, transform)
    return made


@functools.cache
def _wrappers() -> tuple[Any, Any]:
    """The two torchmetrics classes that everything here is made of; defined late because the import is slow."""
    import torchmetrics

    class Mean(torchmetrics.Metric):
        """Mean over counted values. Reads nothing back from the device, unlike torchmetrics' own treatment of
        ignored values by selection."""

        full_state_update = False
        total: Tensor
        count: Tensor

        def __init__(self, values: Transform) -> None:
            super().__init__()
            self.values = values
            # float32, which every device has; thousands of batch sums keep a relative error near 1e-6.
            self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
            self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

        def update(self, output: Tensor, target: Tensor) -> None:
            values, counts = self.values(output, target)
            self.total = self.total + torch.where(counts, values, torch.zeros_like(values)).sum()
            self.count = self.count + counts.sum()

        def compute(self) -> Tensor:
            return self.total / self.count

    class Fed(torchmetrics.Metric):
        """Another metric behind a transformation of its inputs."""

        full_state_update = False

        def __init__(self, inner: torchmetrics.Metric, transform: Transform) -> None:
            super().__init__()
            self.inner = inner
            self.transform = transform

        def update(self, output: Tensor, target: Tensor) -> None:
            self.inner.update(*self.transform(output, target))

        def compute(self) -> Any:
            return self.inner.compute()

        def reset(self) -> None:
            super().reset()
            self.inner.reset()

    return Mean, Fed
