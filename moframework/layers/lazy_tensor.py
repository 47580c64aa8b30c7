"""Tensors that stand for others, which are made only where something needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor

__all__ = ["StandIn", "plain", "stand_ins"]

# What may be asked of a tensor that is not made without making it.
_FACTS: set[Any] = {
    *(vars(torch._C.TensorBase)[name].__get__ for name in ("shape", "dtype", "device", "ndim")),
    Tensor.dim,
    Tensor.size,
    Tensor.numel,
    Tensor.__len__,
    Tensor.is_floating_point,
}


class StandIn(Tensor):
    """A tensor without memory that knows how to be made (`whole`), and what some functions make of it otherwise
    (`used`). Every other function sees the whole; shape, dtype and device are known without.

    Derived classes construct themselves with `standing`, and override both methods. Below torch's functions, where
    autograd has been passed already, a stand-in is refused.
    """

    @classmethod
    def standing(cls, size: Sequence[int], like: Tensor) -> Self:
        """A new one of that size, of the dtype and on the device of `like`."""
        return Tensor._make_wrapper_subclass(cls, size, dtype=like.dtype, device=like.device, requires_grad=False)

    def whole(self) -> Tensor:
        """The tensor this one stands for, differentiable in what it is made of."""
        raise NotImplementedError

    def used(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What `func` returns for arguments of which this is one; None: what it returns for the whole."""
        return None

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func in _FACTS:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **given)
        for each in stand_ins([*args, *given.values()]):
            found = each.used(func, args, given)
            if found is not None:
                return found
        return func(*plain(tuple(args)), **plain(given))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        # Torch asks for it where a tensor has no memory of its own. What comes here did not pass `__torch_function__`:
        # a result would have no way back to what the whole is made of.
        raise NotImplementedError(
            f"{func}: a {cls.__name__} can be used by functions of torch and torch.nn.functional, not below them"
        )


def plain(value: Any, made: Mapping[str, Tensor] | None = None) -> Any:
    """`value`, an argument of a function or several, with the whole in the place of each stand-in.

    Args:
        made: wholes that exist already, by `str(id(stand-in))`.
    """
    if isinstance(value, StandIn):
        known = None if made is None else made.get(str(id(value)))
        return value.whole() if known is None else known
    if isinstance(value, list | tuple):
        return type(value)(plain(part, made) for part in value)
    if isinstance(value, dict):
        return {key: plain(part, made) for key, part in value.items()}
    return value


def stand_ins(values: Iterable[Any]) -> Iterator[StandIn]:
    """Those among some arguments, in lists and tuples too."""
    for value in values:
        if isinstance(value, StandIn):
            yield value
        elif isinstance(value, list | tuple):
            yield from stand_ins(value)
