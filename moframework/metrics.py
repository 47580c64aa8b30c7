"""Metrics of tasks: what a user wants to know of a model, each with its direction. Computed by torchmetrics."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from moframework.config import Component, config, option

if TYPE_CHECKING:
    import torchmetrics

__all__ = ["F1", "MAE", "MSE", "Accuracy", "GroupGap", "IoU", "Metric"]

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
            precision and targets. `compute()` of no counted sample is nan or 0, as torchmetrics has it.
        """


@config
class Accuracy(Metric):
    """Share of samples or positions that get the right class.

    Output: logits (b, size, ...), or (b, 1, ...) and (b, ...) for size 1, where positive means class 1.
    """

    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float | None] = 0.0

    ignore_index: int = option(-100, help="target value of samples or pixels that do not count")

    @property
    def label(self) -> str:
        """`accuracy`."""
        return "accuracy"

    def make(self, size: int) -> torchmetrics.Metric:
        """The mean of right (1) and wrong (0), without what is ignored."""

        def right(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
            return (_classes(output, target, size) == target).float(), target != self.ignore_index

        return _mean(right)


@config
class F1(Metric):
    """Harmonic mean of precision and recall.

    With size 1 that of class 1; otherwise averaged over the classes, where one that neither occurs nor is predicted
    does not count.
    """

    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float | None] = 0.0

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
        return _fed(inner, lambda output, target: (_classes(output, target, size), target.long()))


@config
class IoU(Metric):
    """Intersection over union of predicted and true class, mean over the classes that occur or are predicted.

    With size 1, over the two classes that the sign of the output tells apart.
    """

    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float | None] = 0.0

    ignore_index: int = option(-100, help="target value of samples or pixels that do not count")

    @property
    def label(self) -> str:
        """`iou`."""
        return "iou"

    def make(self, size: int) -> torchmetrics.Metric:
        """torchmetrics' Jaccard index on classes."""
        from torchmetrics.classification import MulticlassJaccardIndex

        inner = MulticlassJaccardIndex(max(size, 2), ignore_index=self.ignore_index, validate_args=False)
        return _fed(inner, lambda output, target: (_classes(output, target, size), target.long()))


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
            return (_regressed(output, target) - target).abs(), _valid(target, self.invalid)

        return _mean(difference)


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
            return (_regressed(output, target) - target).square(), _valid(target, self.invalid)

        return _mean(difference)


@config
class GroupGap(Metric):
    """How differently two groups are decided on: the difference of their shares of decisions for class 1.

    With a group for each sample it is the demographic-parity gap; with a group for the samples of class 1 alone, the
    equal-opportunity gap. Unlike the loss of this name it counts decisions, not chances. In [0, 1]; nan where a group
    is absent. Output as `accuracy` has it, of size 1 or 2; target: group 0 or 1, (b,).
    """

    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float | None] = 1.0

    ignore_index: int = option(-100, help="target value of samples that are in neither group")

    @property
    def label(self) -> str:
        """`gap`."""
        return "gap"

    def make(self, size: int) -> torchmetrics.Metric:
        """The shares of both groups, subtracted at the end."""

        def chosen(group: int) -> torchmetrics.Metric:
            return _mean(lambda output, target: (_classes(output, target, size).float(), target == group))

        return abs(chosen(1) - chosen(0))


def _classes(output: Tensor, target: Tensor, size: int) -> Tensor:
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


def _regressed(output: Tensor, target: Tensor) -> Tensor:
    output = _squeezed(output, target)
    return output.float() if output.dtype in (torch.float16, torch.bfloat16) else output


def _valid(target: Tensor, invalid: float | None) -> Tensor:
    return torch.ones_like(target, dtype=torch.bool) if invalid is None else target != invalid


def _mean(values: Transform) -> torchmetrics.Metric:
    """A metric that is the mean of the values that `values(output, target)` says count."""
    made: torchmetrics.Metric = _wrappers()[0](values)
    return made


def _fed(inner: torchmetrics.Metric, transform: Transform) -> torchmetrics.Metric:
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
