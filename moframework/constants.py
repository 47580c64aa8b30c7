"""Numbers of options as tensors that are copied to a device once rather than in every step."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

__all__ = ["constant"]


@functools.lru_cache(maxsize=64)
def constant(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """`values` as a tensor (n,). The same tensor comes back for the same arguments: do not change it in place."""
    with torch.inference_mode(False):  # one made in inference mode could not take part in training later
        return torch.tensor(values, device=device, dtype=dtype)
