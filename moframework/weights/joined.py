"""Samples with something that all of them share joined to them, put together only where nothing cheaper will do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["FACTS", "Joined", "concatenated"]

# What may be asked of a tensor that is not made without making it.
FACTS: set[Any] = {
    *(vars(torch._C.TensorBase)[name].__get__ for name in ("shape", "dtype", "device", "ndim")),
    Tensor.dim,
    Tensor.size,
    Tensor.numel,
    Tensor.__len__,
    Tensor.is_floating_point,
}


class Joined(Tensor):
    """`torch.cat([own, shared.expand(b, …)], dim=1)`, as a tensor that is made when something needs it.

    A convolution or linear layer is linear: of what all samples share it is computed once, and added to what it makes
    of each sample's own part, which is all that then costs as much as the batch is large. A first layer so costs about
    what it costs without the shared part; on the concatenation the gradient of that part alone, summed over the batch,
    would cost as much as a second pass of the layer (a LeNet step on the CPU: twice the plain one). Every other
    operation sees the concatenation. Results agree to rounding.

    Args:
        own: (b, c, ...), a part for each sample; no gradient is sent to it.
        shared: (1, s, ...), the same for all.
    """

    own: Tensor
    shared: Tensor

    @staticmethod
    def __new__(cls, own: Tensor, shared: Tensor) -> Joined:  # noqa: D102 (see the class)
        size = (len(own), own.shape[1] + shared.shape[1], *own.shape[2:])
        made: Joined = Tensor._make_wrapper_subclass(cls, size, dtype=own.dtype, device=own.device, requires_grad=False)
        made.own, made.shared = own, shared
        return made

    def whole(self) -> Tensor:
        """The concatenation."""
        return concatenated(self.own, self.shared)

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        with torch._C.DisableTorchFunctionSubclass():
            if func in FACTS:
                return func(*args, **given)
            first = args[0] if args else None
            if isinstance(first, Joined):
                if func in (functional.conv2d, functional.linear):
                    found = first._layer(func, *args[1:], **given)
                    if found is not None:
                        return found
                if func in (torch.flatten, Tensor.flatten) and first.dim() == 2 and args[1:] in ((), (1,), (1, -1)):
                    return first if args[1:] else first.whole().flatten()
            return func(*(_plain(value) for value in args), **{key: _plain(value) for key, value in given.items()})

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        # Torch asks for it where a tensor has no memory of its own. What comes here did not pass `__torch_function__`.
        given = {key: _plain(value) for key, value in (kwargs or {}).items()}
        return func(*(_plain(value) for value in args), **given)

    def _layer(
        self, func: Callable[..., Tensor], weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any
    ) -> Tensor | None:
        """What a layer makes of the whole; None where it mixes channels in groups."""
        if func is functional.conv2d and (kwargs.get("groups", 1) != 1 or (len(args) > 3 and args[3] != 1)):
            return None
        count = self.own.shape[1]
        own = func(self.own, weight[:, :count], bias, *args, **kwargs)
        return own.add_(func(self.shared.to(self.own.dtype), weight[:, count:], None, *args, **kwargs))


def concatenated(own: Tensor, shared: Tensor) -> Tensor:
    """`Joined(own, shared)` as a plain tensor, in the memory order of `own`."""
    shared = shared.to(own.dtype).expand(len(own), *shared.shape[1:])
    if own.dim() == 4:
        # The stride tells the order even of one channel, for which both are the same memory.
        order = torch.channels_last if own.stride(1) == 1 else torch.contiguous_format
        shared = shared.contiguous(memory_format=order)
    return torch.cat([own, shared], dim=1)


def _plain(value: Any) -> Any:
    if isinstance(value, Joined):
        return value.whole()
    if isinstance(value, list | tuple):
        return type(value)(_plain(part) for part in value)
    return value
