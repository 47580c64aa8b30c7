"""The order in which a training sees samples, and how many an epoch has: one of chance, or the data set's own."""

from __future__ import annotations

from collections.abc import Sized
from typing import cast

import torch
from torch import Tensor

from moframework.data.dataset import Dataset, Epochs

__all__ = ["epoch_order", "epoch_size", "sample_rows"]


def epoch_size(data: Dataset, batch_size: int) -> int:
    """How many samples an epoch of `data` has: all, each once, unless its `epochs` say otherwise (see `Epochs`).

    Raises:
        DataError: batches of that size cannot be made of it.
    """
    own = _own(data)
    return len(cast(Sized, data)) if own is None else own.size(batch_size)


def epoch_order(data: Dataset, batch_size: int, generator: torch.Generator) -> Tensor:
    """The samples of an epoch, by their place in `data`, one batch after the other; (epoch_size,), integers.

    >>> from moframework.data import TensorData
    >>> data = TensorData(torch.zeros(4, 1), {})
    >>> sorted(epoch_order(data, 2, torch.Generator().manual_seed(0)).tolist())
    [0, 1, 2, 3]
    """
    own = _own(data)
    if own is None:
        return torch.randperm(len(cast(Sized, data)), generator=generator)
    return own.order(batch_size, generator)


def sample_rows(data: Dataset, count: int) -> Tensor:
    """Some samples to look at, (count,) or all where there are fewer: the first ones; where the data set has an order
    of its own, which may be one set after the other, evenly spread ones."""
    size = len(cast(Sized, data))
    if _own(data) is None or count >= size:
        return torch.arange(min(count, size))
    return torch.linspace(0, size - 1, count, dtype=torch.float64).round().long()


def _own(data: Dataset) -> Epochs | None:
    found: Epochs | None = getattr(data, "epochs", None)
    return found
