"""Which data lives on the device as tensors, so that a batch is an index selection there."""

from __future__ import annotations

from typing import Literal

import torch

from moframework.data.dataset import Dataset, TensorData
from moframework.data.loader import gathered

__all__ = ["resident"]

# The other half is for weights, their optimizer, and activations, whose size is not known before the first step.
_SHARE = 0.5


def resident(data: Dataset, wanted: bool | Literal["auto"], device: torch.device, workers: int = 0) -> Dataset:
    """`data` where training reads it from.

    Args:
        data: a split.
        wanted: `auto` moves tensors in memory to the device when they take at most half of what is free there now, and
            leaves everything else as it is; True moves them in any case, and first reads data that loads piece by piece
            into memory, each item once; False leaves data where it is.
        device: the training's. On the CPU `auto` changes nothing.
        workers: processes that load, where data is read into memory.

    Raises:
        torch.OutOfMemoryError: True, and it does not fit.
    """
    if wanted is False:
        return data
    if wanted is True:
        return gathered(data, workers=workers).to(device)
    if not isinstance(data, TensorData) or data.device.type == device.type:
        return data
    free = _free(device)
    return data.to(device) if free is None or data.nbytes <= _SHARE * free else data


def _free(device: torch.device) -> int | None:
    """Bytes that can still be had on a device; None where it does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return None
