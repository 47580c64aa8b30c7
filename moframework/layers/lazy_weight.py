"""Adapted weights that their layer applies without merging them, where that costs less."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from moframework.layers.lazy_tensor import LazyTensor, in_graph
from moframework.layers.low_rank import Adapted, linear
from moframework.layers.low_rank_conv import Convolution, conv2d
from moframework.layers.merge import merged_by_node, sent_to_factors

__all__ = ["AdaptedWeight", "adapted_weight", "chosen", "conv2d_pays", "linear_pays"]

Apply = Callable[[Tensor, Tensor | None, Adapted], Tensor]

# Nanoseconds on a CPU, forward and backward (one core of an AMD EPYC, torch 2.14): of one multiply-add of each product,
# and of a convolution in Python; of an element of a weight for the passes that merge it, and of an element of the
# patches of a convolution for making them and taking them apart, where the product's memory is in the kernel's own
# order and where it is in channels-last order.
_PRODUCT, _CONVOLUTION = 0.1, 0.6e6
_MERGED, _PATCH = 2.6, 3.2
_MERGED_LAST, _PATCH_LAST = 1.3, 2.2


# The same of a layer that runs piece by piece, for each piece but one: of an element of its weight, for making it and
# reading it in a pass of its own, and of the pass.
_PIECE, _PASS = 7.5, 0.125e6


def linear_pays(rows: int, base: Tensor, q: int, further: int = 0) -> bool:
    """Whether `linear` on so many rows costs a CPU less than merging into W0 (o, c), or, where a batch has further
    pieces, less than a layer for each.

    >>> large = torch.empty(2048, 2048)
    >>> linear_pays(64, large, 8), linear_pays(8192, large, 8), linear_pays(8192, large, 8, 7)
    (True, False, True)
    """
    out, columns = base.shape
    applied = rows * _PRODUCT * q * (columns + out)
    if further:
        return applied < further * (_PASS + out * columns * (_PIECE + _PRODUCT * q))
    return applied < out * columns * (_MERGED_LAST + _PRODUCT * q)


def conv2d_pays(places: int, base: Tensor, q: int, chunks: int, channels_last: bool = False, further: int = 0) -> bool:
    """Whether `conv2d` on so many places (samples times those of an output) costs a CPU less than merging into W0, for
    each further piece of a batch once more; q and k as there, `channels_last` where it is given an order.

    >>> kernel = torch.empty(512, 512, 3, 3)
    >>> conv2d_pays(128, kernel, 24, 3), conv2d_pays(4096, kernel, 24, 3)
    (True, False)
    """
    out, columns = len(base), base[0].numel()
    patch, merged = (_PATCH_LAST, _MERGED_LAST) if channels_last else (_PATCH, _MERGED)
    applied = places * (columns * (patch + _PRODUCT * q) + out * chunks * _PRODUCT * q)
    return _CONVOLUTION + applied < (1 + further) * out * columns * (merged + _PRODUCT * q)


def adapted_weight(adapted: Adapted) -> Tensor:
    """W as a tensor that its layer applies without its being merged, where that costs less."""

    def send(gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return (gradient, *sent_to_factors([gradient], adapted.b, adapted.a, adapted.factors.t(), adapted.order))

    return in_graph(partial(AdaptedWeight, adapted), send, (adapted.base, adapted.b, adapted.a))


class AdaptedWeight(LazyTensor):
    """`W0 + (B ⊙ f) A`, merged where something needs it: once for the pass it is made for."""

    adapted: Adapted

    @staticmethod
    def __new__(cls, adapted: Adapted) -> AdaptedWeight:
        made = cls.standing_for(adapted.base.shape, adapted.base, adapted.base.stride())
        made.adapted = adapted
        return made

    def materialize(self) -> Tensor:
        """W, made once."""
        return self.once(self._merged)

    def _merged(self) -> Tensor:
        own, kind = self.adapted, self.adapted.base.device.type
        # Weights have full precision; autocast is for what layers make of them.
        precise = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
        with torch.autocast(kind, enabled=False) if precise else contextlib.nullcontext():
            return merged_by_node(own.base, own.b, own.a, own.factors.t(), own.order)[0]

    def through(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What a layer makes of it, where that costs less than merging."""
        if len(args) < 2 or args[1] is not self or torch._C._are_functorch_transforms_active():
            return None
        apply = chosen(func, args, kwargs, self.adapted)
        bias = args[2] if len(args) > 2 else kwargs.get("bias")
        return None if apply is None else apply(args[0], bias, self.adapted)


def chosen(
    func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], adapted: Adapted, further: int = 0
) -> Apply | None:
    """What gives a layer's result from its input, bias and adapted weight, for arguments of which the second stands for
    W; None where that is no linear layer or convolution of this module, or where weights cost less. On an accelerator,
    where nothing has been measured, linear layers are always applied, and convolutions never.

    Args:
        func, args, kwargs: as a layer calls it: `functional.linear` or `functional.conv2d`.
        further: groups of samples with weights of their own, but one.
    """
    base, q = adapted.base, len(adapted.a)
    on_cpu, x = base.device.type == "cpu", args[0]
    if func is functional.linear:
        pays = base.dim() == 2 and (not on_cpu or linear_pays(x.shape[:-1].numel(), base, q, further))
        return linear if pays else None
    how = _moves(func, args, kwargs) if on_cpu else None
    if how is None:
        return None
    places = len(x) * math.prod(how.places(x, base))
    pays = conv2d_pays(places, base, q, len(adapted.b) // len(base), adapted.order is not None, further)
    return partial(conv2d, how=how) if pays else None


def _moves(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Convolution | None:
    """How `functional.conv2d` moves, called as `nn.Conv2d` does; None for other functions, other calls, groups, and
    padding by name."""
    if func is not functional.conv2d or len(args) != 7 or kwargs:
        return None
    x, _, _, stride, padding, dilation, groups = args
    if groups != 1 or x.dim() != 4 or isinstance(padding, str):
        return None
    return Convolution(_pair(stride), _pair(padding), _pair(dilation))


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])
