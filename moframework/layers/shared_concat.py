"""Samples with something that all of them share joined to them, put together only where nothing cheaper will do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from moframework.layers.lazy_tensor import LazyTensor, in_graph, materialized

__all__ = ["SharedConcat", "concatenated", "shared_concat"]


def shared_concat(own: Tensor, shared: Tensor) -> Tensor:
    """`concatenated(own, shared)`, lazily: see `SharedConcat`.

    Args:
        own: (b, c, ...), a part for each sample.
        shared: (1, s, ...), the same for all.
    """

    def send(gradient: Tensor) -> tuple[Tensor, Tensor]:
        count = own.shape[1]
        return gradient[:, :count], gradient[:, count:].sum(dim=0, keepdim=True).to(shared.dtype)

    return in_graph(partial(SharedConcat, own, shared), send, (own, shared))


class SharedConcat(LazyTensor):
    """`torch.cat([own, shared.expand(b, …)], dim=1)`, as a tensor that is made when something needs it.

    A convolution or linear layer is linear: of what all samples share it is computed once, and added to what it makes
    of each sample's own part, which is all that then costs as much as the batch is large. A first layer so costs about
    what it costs without the shared part; on the concatenation the gradient of that part alone, summed over the batch,
    would cost as much as a second pass of the layer (a LeNet step on the CPU: twice the plain one). Every other
    operation sees the concatenation. Results agree to rounding.
    """

    own: Tensor
    shared: Tensor

    @staticmethod
    def __new__(cls, own: Tensor, shared: Tensor) -> SharedConcat:
        size = (len(own), own.shape[1] + shared.shape[1], *own.shape[2:])
        strides = None
        if _order(own) == torch.channels_last:
            _, channels, height, width = size
            strides = (channels * height * width, 1, channels * width, channels)
        made = cls.standing_for(size, own, strides)
        made.own, made.shared = own, shared
        return made

    def materialize(self) -> Tensor:
        """The concatenation, made once."""
        return self.once(lambda: concatenated(self.own, self.shared))

    def through(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """A layer's result, and what flattening leaves as it is."""
        if not args or args[0] is not self or torch._C._are_functorch_transforms_active():
            return None
        if func in (functional.conv2d, functional.linear):
            return self._layer(func, *args[1:], **kwargs)
        if func in (torch.flatten, Tensor.flatten) and self.dim() == 2 and args[1:] in ((1,), (1, -1)):
            return self
        return None

    def _layer(
        self, func: Callable[..., Tensor], weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any
    ) -> Tensor | None:
        """What a layer makes of the whole; None where it mixes channels in groups, or what it reads is no channels."""
        if func is functional.conv2d and (kwargs.get("groups", 1) != 1 or (len(args) > 3 and args[3] != 1)):
            return None
        if func is functional.linear and self.dim() != 2:
            return None
        weight, count = materialized(weight), self.own.shape[1]
        shared = self.shared.to(self.own.dtype)
        if func is functional.linear:
            # What all share is one more bias.
            return func(self.own, weight[:, :count], func(shared, weight[:, count:], bias)[0])
        own = func(self.own, weight[:, :count], bias, *args, **kwargs)
        result: Tensor = _Added.apply(own, func(shared, weight[:, count:], None, *args, **kwargs))
        return result


class _Added(torch.autograd.Function):
    """`own + shared` for all samples of `own` (b, ...), in place. Autograd's sum of the gradient over the samples of
    images in channels-last order takes six times as long as one in the order of the memory."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, shared: Tensor) -> Tensor:
        ctx.mark_dirty(own)
        ctx.like = shared.shape, shared.dtype
        return own.add_(shared)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        shape, dtype = ctx.like
        if gradient.dim() == 4 and gradient.is_contiguous(memory_format=torch.channels_last):
            rows = gradient.permute(0, 2, 3, 1)
            total = rows.reshape(len(rows), -1).sum(dim=0).view(1, *rows.shape[1:]).permute(0, 3, 1, 2)
        else:
            total = gradient.sum(dim=0, keepdim=True)
        return gradient, total.to(dtype).view(shape)


def concatenated(own: Tensor, shared: Tensor) -> Tensor:
    """`own` with `shared` joined along the second dimension, as a plain tensor in the memory order of `own`."""
    shared = shared.to(own.dtype).expand(own.shape[0], *shared.shape[1:])
    if own.dim() == 4:
        shared = shared.contiguous(memory_format=_order(own))
    return torch.cat([own, shared], dim=1)


def _order(own: Tensor) -> torch.memory_format:
    # The stride tells the order even of one channel, for which both are the same memory.
    return torch.channels_last if own.dim() == 4 and own.stride(1) == 1 else torch.contiguous_format
