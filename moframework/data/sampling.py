"""Some samples of a data set, evenly spread over it."""

from __future__ import annotations

from collections.abc import Sized
from typing import cast

import torch
import torch.utils.data

from moframework.data.dataset import Dataset, TensorData

__all__ = ["evenly_spread"]


def evenly_spread(data: Dataset, count: int) -> Dataset:
    """At most `count` samples of `data`, evenly spread over it: the same ones at each call.

    >>> evenly_spread(TensorData(torch.arange(10.0).unsqueeze(1), {}), 4).inputs.flatten().tolist()
    [0.0, 2.0, 5.0, 7.0]
    """
    size = len(cast(Sized, data))
    if size <= count:
        return data
    chosen = torch.arange(count) * size // count
    if isinstance(data, TensorData):
        return data.take(chosen)
    return torch.utils.data.Subset(data, chosen.tolist())
