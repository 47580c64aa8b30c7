"""The value of a metric over data that comes in batches."""

from __future__ import annotations

from torch import Tensor

from moframework.metrics import Metric


def value(metric: Metric, output: Tensor, target: Tensor, size: int, chunks: int = 3) -> float:
    meter = metric.make(size)
    for o, t in zip(output.tensor_split(chunks), target.tensor_split(chunks), strict=True):
        meter.update(o, t)
    return float(meter.compute())
