"""The contract of a metric, and what several of them need."""

from __future__ import annotations

import functools
import warnings
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from moframework.config import Component

if TYPE_CHECKING:
    import torchmetrics

__all__ = ["Metric", "Transform", "classes", "fed", "labels", "mean_of", "regressed", "summed", "valid"]

Transform = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

# So many outputs seldom lie between 0 and 1 by chance, all of them and some so near to both.
_TELLING, _EDGE = 20, 0.1


class Metric(Component, kind="metrics"):
    """A number that says how well a task is done over a whole data set.

    Unlike a loss it need not be differentiable, and larger may be better: that is class data. torchmetrics, which takes
    seconds to import, is imported when a metric is first made.
    """

    higher_is_better: ClassVar[bool]
    """The direction."""
    worst: ClassVar[float | None] = None
    """The worst possible value, the reference of hypervolumes over this metric; None when there is none."""
    expects_logits: ClassVar[bool] = False
    """Whether an output of size 1 is a logit, where a decision is cut at 0: probabilities in its place are a mistake,
    which is told before training."""

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


def mean_of(values: Transform, *, logits: bool = False) -> torchmetrics.Metric:
    """A metric that is the mean of the values that `values(output, target)` says count.

    Args:
        logits: decisions are cut at 0: `compute` warns of outputs that look like probabilities.
    """
    made: torchmetrics.Metric = _wrappers()[0](values)
    return _watched(made) if logits else made


def fed(inner: torchmetrics.Metric, transform: Transform, *, logits: bool = False) -> torchmetrics.Metric:
    """`inner`, updated with what `transform` makes of raw outputs and targets. `logits`: see `mean_of`."""
    made: torchmetrics.Metric = _wrappers()[1](inner, transform)
    return _watched(made) if logits else made


def summed(
    statistics: Callable[[Tensor, Tensor], Tensor],
    finish: Callable[[Tensor], Tensor],
    size: int,
    *,
    logits: bool = False,
) -> torchmetrics.Metric:
    """A metric that is a function of counts.

    Args:
        statistics: whole numbers or booleans (b, size) of outputs and targets.
        finish: the metric from their sums (size,), int64.
        size: how many there are.
        logits: see `mean_of`.
    """
    made: torchmetrics.Metric = _wrappers()[2](statistics, finish, size)
    return _watched(made) if logits else made


def _watched(metric: torchmetrics.Metric) -> torchmetrics.Metric:
    made: torchmetrics.Metric = _wrappers()[3](metric)
    return made


@functools.cache
def _wrappers() -> tuple[Any, Any, Any, Any]:
    """The torchmetrics classes that everything here is made of; defined late because the import is slow."""
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

    base: Any = torchmetrics.Metric  # abstract
    return Mean, Fed, _summing(base), _watching(base)


def _summing(base: type[torchmetrics.Metric]) -> Any:
    """The class of a metric that is a function of counts."""

    class Summed(base):  # type: ignore[misc,valid-type]
        """A function of the sums of whole numbers."""

        full_state_update = False
        totals: Tensor

        def __init__(self, statistics: Any, finish: Any, size: int) -> None:
            super().__init__()
            self.statistics, self.finish = statistics, finish
            self.add_state("totals", torch.zeros(size, dtype=torch.long), dist_reduce_fx="sum")

        def update(self, output: Tensor, target: Tensor) -> None:
            self.totals = self.totals + self.statistics(output, target).sum(dim=0)

        def compute(self) -> Tensor:
            found: Tensor = self.finish(self.totals)
            return found

    return Summed


def _watching(base: type[torchmetrics.Metric]) -> Any:
    """The class of a metric that tells of outputs which cannot be the logits that they should be."""

    class Watched(base):  # type: ignore[misc,valid-type]
        """Another metric, and the range of its outputs."""

        full_state_update = False
        low: Tensor
        high: Tensor
        count: Tensor

        def __init__(self, inner: torchmetrics.Metric) -> None:
            super().__init__()
            self.inner = inner
            self.add_state("low", torch.tensor(torch.inf), dist_reduce_fx="min")
            self.add_state("high", torch.tensor(-torch.inf), dist_reduce_fx="max")
            self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

        def update(self, output: Tensor, target: Tensor) -> None:
            self.inner.update(output, target)
            self.count = self.count + output.numel()
            if output.numel():
                self.low = torch.minimum(self.low, output.detach().amin().float())
                self.high = torch.maximum(self.high, output.detach().amax().float())

        def compute(self) -> Any:
            # Logits may all lie there too, before much is learned, but then do not fill the range.
            low, high = (0.0, 0.0) if self.low.is_meta else (float(self.low), float(self.high))
            if 0 <= low < _EDGE < 1 - _EDGE < high <= 1 and int(self.count) >= _TELLING:
                warnings.warn(
                    f"all outputs lie between {low:.3g} and {high:.3g}, as probabilities do, but a decision is cut at "
                    "0, as of logits, so that all are for class 1: let the network return logits, without a sigmoid",
                    stacklevel=2,
                )
            return self.inner.compute()

        def reset(self) -> None:
            super().reset()
            self.inner.reset()

    return Watched
