"""Weights that are made again in the backward pass instead of being kept for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

__all__ = ["rematerializing"]


def rematerializing(weights: Mapping[str, Tensor], make: Callable[[str], Tensor]) -> saved_tensors_hooks:
    """Hooks under which autograd keeps none of some weights, nor views of them, but makes them again when it goes
    backward.

    Args:
        weights: by name; alive as long as the hooks are in force.
        make: the weight of a name once more, with the same numbers in the same memory order; called without gradients.
    """
    names = {value.untyped_storage().data_ptr(): name for name, value in weights.items()}

    def pack(tensor: Tensor) -> Any:
        name = names.get(tensor.untyped_storage().data_ptr())
        return tensor if name is None else (name, tensor.size(), tensor.stride(), tensor.storage_offset())

    def unpack(kept: Any) -> Tensor:
        if isinstance(kept, Tensor):
            return kept
        name, size, stride, offset = kept
        with torch.no_grad():
            return make(name).as_strided(size, stride, offset)

    return saved_tensors_hooks(pack, unpack)
