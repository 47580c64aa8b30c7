"""Tensors that are made only where something needs them, and are part of autograd's graph all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

__all__ = ["LazyTensor", "in_graph", "lazy_tensors", "materialized"]

# What may be asked of a tensor that is not made without making it.
_FACTS: set[Any] = {
    *(vars(torch._C.TensorBase)[name].__get__ for name in ("shape", "dtype", "device", "ndim")),
    *(vars(torch._C.TensorBase)[name].__get__ for name in ("requires_grad", "grad_fn", "is_leaf")),
    Tensor.dim,
    Tensor.size,
    Tensor.numel,
    Tensor.__len__,
    Tensor.is_floating_point,
}


class LazyTensor(Tensor):
    """A tensor without memory that knows how to be made (`materialize`), and what some functions make of it otherwise
    (`through`). Every other function sees the tensor that is made; shape, dtype and device are known without.

    Some code never passes torch's Python functions: `torch.autograd.Function.apply`, a kernel that reads an address, an
    extension in C++. There a lazy tensor that `in_graph` has put into autograd's graph is an input like any other: it
    is read as the tensor that is made, once, and its gradient flows on to what it is made of.

    Derived classes construct themselves with `standing_for`, and override both methods.
    """

    @classmethod
    def standing_for(cls, size: Sequence[int], like: Tensor) -> Self:
        """A new one of that size, of the dtype and on the device of `like`."""
        return Tensor._make_wrapper_subclass(cls, size, dtype=like.dtype, device=like.device, requires_grad=False)

    def materialize(self) -> Tensor:
        """The tensor this one stands for, differentiable in what it is made of."""
        raise NotImplementedError

    def through(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What `func` returns for arguments of which this is one; None: what it returns for the materialized."""
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
        for each in lazy_tensors([*args, *given.values()]):
            found = each.through(func, args, given)
            if found is not None:
                return found
        return func(*materialized(tuple(args)), **materialized(given))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        # What comes here has passed autograd, which sends the gradient to the lazy tensor itself.
        with torch.no_grad():
            made = tree_map(materialized, (args, dict(kwargs or {})))
        return func(*made[0], **made[1])


def in_graph(
    make: Callable[[], LazyTensor], send: Callable[[Tensor], Sequence[Tensor | None]], sources: Sequence[Tensor]
) -> LazyTensor:
    """A lazy tensor whose gradient, where something below torch's Python functions computes one, reaches what it is
    made of.

    Args:
        make: the lazy tensor; called once.
        send: its gradient → those of the sources, differentiable where gradients are enabled.
        sources: the tensors it is made of.
    """
    result: LazyTensor = _InGraph.apply(make, send, *sources)
    return result


class _InGraph(torch.autograd.Function):
    """The node of a lazy tensor. Functions that know lazy tensors go around it."""

    @staticmethod
    def forward(
        ctx: Any, make: Callable[[], LazyTensor], send: Callable[[Tensor], Any], *sources: Tensor
    ) -> LazyTensor:
        ctx.send = send
        return make()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *ctx.send(gradient)


def materialized(value: Any, made: Mapping[str, Tensor] | None = None) -> Any:
    """`value`, an argument of a function or several, with what is made in the place of each lazy tensor.

    Args:
        made: what is made already, by `str(id(lazy tensor))`.
    """
    if isinstance(value, LazyTensor):
        known = None if made is None else made.get(str(id(value)))
        return value.materialize() if known is None else known
    if isinstance(value, list | tuple):
        return type(value)(materialized(part, made) for part in value)
    if isinstance(value, dict):
        return {key: materialized(part, made) for key, part in value.items()}
    return value


def lazy_tensors(values: Iterable[Any]) -> Iterator[LazyTensor]:
    """Those among some arguments, in lists and tuples too."""
    for value in values:
        if isinstance(value, LazyTensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from lazy_tensors(value)
