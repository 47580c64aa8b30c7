"""Weights that are made where a layer uses them, and again in the backward pass instead of being kept for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from moframework.layers.lazy_tensor import LazyTensor, lazy_tensors, materialized

__all__ = ["Rematerialized", "rematerializing"]


class Rematerialized(LazyTensor):
    """A weight that each function which needs it makes anew, and makes again when it goes backward.

    Args:
        size: its shape.
        like: a tensor of its dtype and device.
        make: gives the weight, differentiable in what it is made of; the same numbers in the same memory order at each
            call.

    >>> weight = Rematerialized((1, 2), torch.empty(0), lambda: torch.tensor([[1.0, 2.0]]))
    >>> torch.nn.functional.linear(torch.ones(1, 2), weight).tolist()
    [[3.0]]
    """

    make: Callable[[], Tensor]

    @staticmethod
    def __new__(cls, size: Sequence[int], like: Tensor, make: Callable[[], Tensor]) -> Rematerialized:  # noqa: D102 (see the class)
        made = cls.standing_for(size, like)
        made.make = make
        return made

    def materialize(self) -> Tensor:
        """The weight."""
        return self.make()

    def through(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The function's result on a weight that is made for it alone."""
        if not torch.is_grad_enabled():
            return None
        found = [each for each in lazy_tensors([*args, *kwargs.values()]) if isinstance(each, Rematerialized)]
        weights = {str(id(each)): each for each in found}
        values = {name: each.make() for name, each in weights.items()}
        arguments, given = (materialized(value, values) for value in (tuple(args), dict(kwargs)))
        with rematerializing(values, lambda name: weights[name].make()):
            return func(*arguments, **given)


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
