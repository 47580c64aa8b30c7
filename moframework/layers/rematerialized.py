"""Weights that are made where a layer uses them, not before, and need not be kept for the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from moframework.layers.lazy_tensor import StandIn, plain, stand_ins

__all__ = ["Unmade", "remade"]

Use = Callable[[Tensor, Callable[..., Any], Sequence[Any], Mapping[str, Any]], Any]


class Unmade(StandIn):
    """A weight that each function which needs it makes anew.

    Args:
        size: its shape.
        like: a tensor of its dtype and device.
        make: gives the weight, differentiable in what it is made of.
        kept: whether the graph may keep what was made. If not, `make` is called again in the backward pass, and must
            give the same numbers in the same memory order.
        use: what a function returns that is called with this, without the weight, or None where it needs it; called
            with this, the function and its arguments.

    >>> weight = Unmade((1, 2), torch.empty(0), lambda: torch.tensor([[1.0, 2.0]]))
    >>> torch.nn.functional.linear(torch.ones(1, 2), weight).tolist()
    [[3.0]]
    """

    make: Callable[[], Tensor]
    kept: bool
    use: Use | None

    @staticmethod
    def __new__(  # noqa: D102 (see the class)
        cls, size: Sequence[int], like: Tensor, make: Callable[[], Tensor], *, kept: bool = True, use: Use | None = None
    ) -> Unmade:
        made = cls.standing(size, like)
        made.make, made.kept, made.use = make, kept, use
        return made

    def whole(self) -> Tensor:
        """The weight."""
        return self.make()

    def used(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What `use` makes of it, and where it makes nothing and the weight is not to be kept, the function's result on
        what is made for it alone."""
        found = None if self.use is None else self.use(self, func, args, kwargs)
        if found is not None or self.kept or not torch.is_grad_enabled():
            return found
        weights = {str(id(each)): each for each in stand_ins([*args, *kwargs.values()]) if isinstance(each, Unmade)}
        values = {name: each.make() for name, each in weights.items()}
        arguments, given = (plain(value, values) for value in (tuple(args), dict(kwargs)))
        passing = {name: values[name] for name, each in weights.items() if not each.kept}
        with remade(passing, lambda name: weights[name].make()):
            return func(*arguments, **given)


def remade(weights: Mapping[str, Tensor], make: Callable[[str], Tensor]) -> saved_tensors_hooks:
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
