"""Metrics as plain functions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from moframework.config import arguments, config, option
from moframework.metrics.base import Metric, valid

if TYPE_CHECKING:
    import torchmetrics

__all__ = ["FunctionMetric"]


@config
class FunctionMetric(Metric):
    """What a plain function makes of outputs (b, ...) and targets (b, ...), over a whole data set.

    It returns one value a sample, (b,), or one a sample and position, (b, ...): the metric is their mean. Or it returns
    one number for all, a tensor without dimensions: then outputs and targets of the whole split are kept, and it is
    called once. Samples whose target is unknown (nan, or `ignore_index`) do not count. Its further parameters become
    options; its name is what results call it.

    ::

        def spread(output: Tensor, target: Tensor) -> Tensor:
            return output.std() / target.std()

    In a spec: `metrics: [{python: ./mine.py:spread, higher_is_better: true}]`.
    """

    function: ClassVar[Callable[..., Tensor]]

    # Class data of other metrics: which way is better cannot be read off a function.
    higher_is_better: bool = option(help="whether more is better")  # type: ignore[misc]
    ignore_index: int = option(-100, help="target value of what does not count")

    @property
    def label(self) -> str:
        """The name of the function."""
        return type(self).__name__

    def make(self, size: int) -> torchmetrics.Metric:
        """An accumulator around the function."""
        function = functools.partial(type(self).function, **arguments(self))
        made: torchmetrics.Metric = _meter()(function, self.label, self.ignore_index)
        return made


Metric.of_function = FunctionMetric


@functools.cache
def _meter() -> Any:
    """The torchmetrics class; defined late because the import is slow."""
    import torchmetrics
    from torchmetrics.utilities import dim_zero_cat

    class OfFunction(torchmetrics.Metric):
        full_state_update = False
        total: Tensor
        count: Tensor
        outputs: list[Tensor]
        targets: list[Tensor]

        def __init__(self, function: Callable[[Tensor, Tensor], Tensor], name: str, ignored: int) -> None:
            super().__init__()
            self.function, self.name, self.ignored = function, name, ignored
            self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
            self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
            self.add_state("outputs", [], dist_reduce_fx="cat")
            self.add_state("targets", [], dist_reduce_fx="cat")

        def update(self, output: Tensor, target: Tensor) -> None:
            values = self.function(output, target)
            if values.dim() == 0:
                self.outputs.append(output)
                self.targets.append(target)
                return
            if len(values) != len(output):
                raise ValueError(
                    f"the metric function {self.name} must return one number, or one value a sample or position, "
                    f"({len(output)}, ...), but returned {tuple(values.shape)}"
                )
            counts = _known(target, self.ignored, values)
            self.total = self.total + torch.where(counts, values, torch.zeros_like(values)).sum()
            self.count = self.count + counts.sum()

        def compute(self) -> Tensor:
            if not len(self.outputs):
                return self.total / self.count
            output, target = dim_zero_cat(self.outputs), dim_zero_cat(self.targets)
            known = valid(target, self.ignored).flatten(1) if target.dim() > 1 else valid(target, self.ignored)[:, None]
            rows = known.any(dim=1)
            return self.function(output[rows], target[rows]) if bool(rows.any()) else torch.tensor(float("nan"))

    return OfFunction


def _known(target: Tensor, ignored: int, values: Tensor) -> Tensor:
    """Which values count, in their shape: those of targets that are known; one of several numbers of a target where all
    of them are."""
    known = valid(target, ignored)
    if known.shape == values.shape:
        return known
    whole = known if known.dim() == 1 else known.flatten(1).all(dim=1)
    return whole.reshape(-1, *[1] * (values.dim() - 1)).expand_as(values)
