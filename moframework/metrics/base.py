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
from moframework.config.signature import part_of_function

if TYPE_CHECKING:
    import torchmetrics

__all__ = [
    "Metric",
    "Transform",
    "classes",
    "counted_by_class",
    "fed",
    "kept",
    "labels",
    "mean_of",
    "one_each",
    "regressed",
    "summed",
    "valid",
]

Transform = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

# So many outputs seldom lie between 0 and 1 by chance, all of them and some so near to both.
_TELLING, _EDGE = 20, 0.1


class Metric(Component, kind="metrics"):
    """A number that says how well a task is done over a whole data set.

    Unlike a loss it need not be differentiable, and larger may be better: that is class data. torchmetrics, which takes
    seconds to import, is imported when a metric is first made.

    A metric can also be given as a plain function of output and target: see `moframework.metrics.function`.

    >>> from moframework.metrics import MAE
    >>> meter = MAE().make(size=1)
    >>> meter.update(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.0]))  # a batch
    >>> meter.update(torch.tensor([6.0]), torch.tensor([0.0]))  # and another
    >>> float(meter.compute()), MAE().label, MAE.higher_is_better
    (3.0, 'mae', False)
    """

    of_function: ClassVar[type[Metric]]
    """Class data: the base of what `from_function` makes; `metrics.function` states it."""

    higher_is_better: ClassVar[bool]
    """The direction."""
    worst: ClassVar[float | None] = None
    """The worst possible value, the reference of hypervolumes over this metric; None when there is none."""
    best: ClassVar[float | None] = None
    """The best possible value, beyond which no condition can hold; None when there is none, or it is not known."""
    expects_logits: ClassVar[bool] = False
    """Whether an output of size 1 is a logit, where a decision is cut at 0: probabilities in its place are a mistake,
    which is told before training."""
    in_units: ClassVar[bool] = False
    """Whether it is a number in the unit of the target (or its square): it is then given outputs and targets in the
    target's own units, where the data has them standardized (`Task.deviation`)."""

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

    @classmethod
    def from_function(cls, function: Callable[..., Any]) -> type[Component]:
        """A metric around a function of output and target: see `moframework.metrics.function`.

        Raises:
            MoframeworkError: it does not take two tensors, or a further parameter cannot be an option.
        """
        made: type[Component] = part_of_function(function, cls.of_function, "a metric", ("output", "target"))
        return made


Metric.returns = Tensor


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


def one_each(output: Tensor, target: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Outputs and targets of all samples and positions one after the other: (k,) of size 1, else (k, size), and (k,).

    >>> output, target = one_each(torch.zeros(2, 3, 4), torch.zeros(2, 4), 3)
    >>> tuple(output.shape), tuple(target.shape)
    ((8, 3), (8,))
    """
    if size == 1:
        return _squeezed(output, target).flatten(), target.flatten()
    return output.movedim(1, -1).reshape(-1, size), target.flatten()


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


def kept(transform: Transform, value: Callable[[Tensor, Tensor], Tensor | float]) -> torchmetrics.Metric:
    """A metric of all samples at once: what `transform` makes of raw outputs and targets is kept, and `value` is asked
    of all of it at the end. What is kept takes memory on the device, for each preference of the front."""
    made: torchmetrics.Metric = _keeping()[0](transform, value)
    return made


def counted_by_class(
    size: int, transform: Transform, value: Callable[[Tensor], Tensor], *, logits: bool = False
) -> torchmetrics.Metric:
    """A metric of counts by class.

    Args:
        size: number of classes.
        transform: from raw outputs and targets to predicted and true classes, of one shape; a true class outside
            [0, size) is unknown and does not count.
        value: of the counts (3, size), float64 on the host: samples of the class that were predicted as it; samples of
            the class; samples predicted as it.
        logits: see `mean_of`.
    """
    made: torchmetrics.Metric = _keeping()[1](size, transform, value)
    return _watched(made) if logits else made


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


@functools.cache
def _keeping() -> tuple[Any, Any]:
    """The torchmetrics classes behind `kept` and `counted_by_class`; defined late because the import is slow."""
    import torchmetrics
    from torchmetrics.utilities import dim_zero_cat

    class Kept(torchmetrics.Metric):
        full_state_update = False
        outputs: list[Tensor]
        targets: list[Tensor]

        def __init__(self, transform: Transform, value: Callable[[Tensor, Tensor], Tensor | float]) -> None:
            super().__init__()
            self.transform, self.value = transform, value
            self.add_state("outputs", [], dist_reduce_fx="cat")
            self.add_state("targets", [], dist_reduce_fx="cat")

        def update(self, output: Tensor, target: Tensor) -> None:
            outputs, targets = self.transform(output, target)
            self.outputs.append(outputs)
            self.targets.append(targets)

        def compute(self) -> Tensor:
            found = self.value(dim_zero_cat(self.outputs), dim_zero_cat(self.targets))
            return torch.as_tensor(found)

    class Counted(torchmetrics.Metric):
        full_state_update = False
        counts: Tensor

        def __init__(self, size: int, transform: Transform, value: Callable[[Tensor], Tensor]) -> None:
            super().__init__()
            self.size, self.transform, self.value = size, transform, value
            self.add_state("counts", torch.zeros(3, size + 1, dtype=torch.long), dist_reduce_fx="sum")

        def update(self, output: Tensor, target: Tensor) -> None:
            predicted, true = (each.flatten() for each in self.transform(output, target))
            known = (true >= 0) & (true < self.size)
            # What is unknown is counted in a place of its own, so that the device is not asked which it is.
            true = torch.where(known, true, self.size)
            predicted = torch.where(known, predicted, self.size)
            hits = torch.where(true == predicted, true, self.size)
            places = torch.stack([hits, true, predicted])
            self.counts = self.counts.scatter_add(1, places, torch.ones_like(places))

        def compute(self) -> Tensor:
            return self.value(self.counts[:, : self.size].cpu().double())

    return Kept, Counted
