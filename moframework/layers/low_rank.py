"""Layers whose weight has a low-rank adapter, computed without merging it: the adapter acts on what the layer reads.

With W = W0 + (B ⊙ f) A a linear layer is

    x Wᵀ = x W0ᵀ + ((x Aᵀ) ⊙ f) Bᵀ                              (LoRA, arXiv 2106.09685, Section 4.1)

and a convolution the same with the patches of its input in place of x. Merging costs as much as the weight is large,
this costs as much as the layer's input and output are: less where a large weight is applied at few places, as in the
last stages of a convolutional network. It also needs no memory for W.

Shapes: inner rank q; `factors` f are constants to the gradient. Differentiable in x, W0, bias, A and B. Under autocast
layers are computed in the precision that it asks for; products with f in the wider of the two.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from attrs import evolve, frozen
from torch import Tensor
from torch.nn import functional

from moframework.layers.lazy_tensor import LazyTensor, in_graph
from moframework.layers.merge import merged_by_node, sent_to_factors

__all__ = [
    "Adapted",
    "AdaptedWeight",
    "Convolution",
    "adapted_weight",
    "applied",
    "conv2d",
    "conv2d_pays",
    "linear",
    "linear_pays",
]

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


@frozen(eq=False)
class Adapted:
    """A weight with an adapter, `W0 + (B ⊙ f) A`.

    Attributes:
        base: W0 (o, c) of a linear layer, or (o, c, h, w) of a convolution.
        b: (o, q); of a convolution (o·k, q), k chunks for each output.
        a: (q, c); of a convolution (q, c·h·w / k).
        factors: f (q, 1), or (q, b), a column for each sample.
        order: the axes of a convolution's W, from the one that the product's memory runs through slowest: (0, 2, 3, 1),
            or None for (0, 1, 2, 3).
    """

    base: Tensor
    b: Tensor
    a: Tensor
    factors: Tensor
    order: Sequence[int] | None = None

    def autocast(self, *others: Tensor | None) -> tuple[Adapted, list[Tensor | None]]:
        """This and further tensors in the precision of autocast, where that is on."""
        kind = self.base.device.type
        if not torch.amp.is_autocast_available(kind) or not torch.is_autocast_enabled(kind):
            return self, list(others)
        dtype = torch.get_autocast_dtype(kind)
        cast = evolve(self, base=self.base.to(dtype), b=self.b.to(dtype), a=self.a.to(dtype))
        return cast, [None if other is None else other.to(dtype) for other in others]


def adapted_weight(adapted: Adapted) -> Tensor:
    """W as a tensor that its layer applies without its being merged, where that costs less."""

    def send(gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        factors = adapted.factors.t()
        order = None if adapted.order is None else tuple(adapted.order)
        return (gradient, *sent_to_factors([gradient], adapted.b, adapted.a, factors, order))

    return in_graph(partial(AdaptedWeight, adapted), send, (adapted.base, adapted.b, adapted.a))


class AdaptedWeight(LazyTensor):
    """`W0 + (B ⊙ f) A`, merged where something needs it: once for the pass it is made for."""

    adapted: Adapted

    @staticmethod
    def __new__(cls, adapted: Adapted) -> AdaptedWeight:  # noqa: D102 (see the class)
        made = cls.standing_for(adapted.base.shape, adapted.base, adapted.base.stride())
        made.adapted = adapted
        return made

    def materialize(self) -> Tensor:
        """W, made once."""
        return self.once(self._merged)

    def _merged(self) -> Tensor:
        own, kind = self.adapted, self.adapted.base.device.type
        order = None if own.order is None else tuple(own.order)
        # Weights have full precision; autocast is for what layers make of them.
        precise = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
        with torch.autocast(kind, enabled=False) if precise else contextlib.nullcontext():
            return merged_by_node(own.base, own.b, own.a, own.factors.t(), order)[0]

    def through(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What a layer makes of it, where that costs less than merging."""
        if len(args) < 2 or args[1] is not self:
            return None
        return applied(func, args, kwargs, self.adapted)


def applied(
    func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], adapted: Adapted, further: int = 0
) -> Tensor | None:
    """What a layer's function returns for its arguments, of which the second stands for W; None where that is no linear
    layer or convolution of this module, or where weights cost less. On an accelerator, where nothing has been measured,
    linear layers are always applied, and convolutions never.

    Args:
        func, args, kwargs: as a layer calls it: `functional.linear` or `functional.conv2d`.
        further: groups of samples with weights of their own, but one.
    """
    base, q = adapted.base, len(adapted.a)
    on_cpu, x = base.device.type == "cpu", args[0]
    if torch._C._are_functorch_transforms_active():
        return None
    if func is functional.linear:
        bias = args[2] if len(args) > 2 else kwargs.get("bias")
        if base.dim() != 2 or (on_cpu and not linear_pays(x.shape[:-1].numel(), base, q, further)):
            return None
        return linear(x, bias, adapted)
    how = _moves(func, args, kwargs) if on_cpu else None
    if how is None:
        return None
    places = len(x) * math.prod(how.places(x, base))
    if not conv2d_pays(places, base, q, len(adapted.b) // len(base), adapted.order is not None, further):
        return None
    return conv2d(x, args[2], adapted, how)


def linear(x: Tensor, bias: Tensor | None, adapted: Adapted) -> Tensor:
    """`functional.linear(x, W, bias)` for x (b, ..., c) and bias (o,) or None."""
    each, factors = x, adapted.factors
    if x.dim() != 2:
        if factors.shape[1] > 1:
            factors = factors.repeat_interleave(x.shape[1:-1].numel(), dim=1)
        each = x.reshape(-1, x.shape[-1])
    own, (each, bias) = adapted.autocast(each, bias)  # type: ignore[assignment]
    result: Tensor = _Linear.apply(each, own.base, bias, own.b, own.a, factors)
    return result if x.dim() == 2 else result.view(*x.shape[:-1], len(own.base))


def _differentiably(
    plain: Callable[..., Tensor], inputs: Sequence[Tensor | None], gradient: Tensor, needed: Sequence[bool]
) -> list[Tensor | None]:
    """Gradients of `plain` in those of its inputs that need one, which can be differentiated in turn."""
    wanted = [tensor for tensor, need in zip(inputs, needed, strict=True) if need and tensor is not None]
    found = iter(torch.autograd.grad(plain(*inputs), wanted, gradient, create_graph=True))
    return [next(found) if need else None for need in needed]


class _Linear(torch.autograd.Function):
    """`x W0ᵀ + bias + ((x Aᵀ) ⊙ fᵀ) Bᵀ` for x (b, c).

    The thin products are made as A xᵀ, Bᵀ gᵀ and h g, (q, b) or (q, o): with the long side as rows BLAS takes up to
    five times as long; and as factors they are turned first, without which it takes twice as long. What autograd would
    add up afterwards is added by the products themselves.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, base: Tensor, bias: Tensor | None, b: Tensor, a: Tensor, factors: Tensor
    ) -> Tensor:
        hidden = functional.linear(a, x).mul_(factors)
        ctx.save_for_backward(x, base, bias, b, a, factors, hidden)
        return functional.linear(x, base, bias).addmm_(hidden.t().contiguous(), b.t())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, base, bias, b, a, factors, hidden = ctx.saved_tensors
        if torch.is_grad_enabled():

            def plain(x: Tensor, base: Tensor, bias: Tensor | None, b: Tensor, a: Tensor) -> Tensor:
                result: Tensor = functional.linear(x, base, bias) + (functional.linear(a, x) * factors).t() @ b.t()
                return result

            return (*_differentiably(plain, (x, base, bias, b, a), gradient, ctx.needs_input_grad[:5]), None)
        of_x, of_base, of_bias, of_b, of_a, _ = ctx.needs_input_grad
        grad_x = grad_base = grad_bias = grad_b = grad_a = None
        if of_x or of_a:
            back = torch.mm(b.t(), gradient.t()).mul_(factors)
            if of_x:
                grad_x = torch.mm(gradient, base).addmm_(back.t().contiguous(), a)
            if of_a:
                grad_a = torch.mm(back, x)
        if of_base:
            grad_base = torch.mm(gradient.t(), x)
        if of_bias:
            grad_bias = gradient.sum(dim=0)
        if of_b:
            grad_b = torch.mm(hidden, gradient).t()
        return grad_x, grad_base, grad_bias, grad_b, grad_a, None


@frozen
class Convolution:
    """How a two-dimensional convolution moves over its input; pairs of (height, width)."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    def places(self, x: Tensor, base: Tensor) -> tuple[int, int]:
        """Height and width of what a kernel W0 (o, c, h, w) makes of x (b, c, height, width)."""
        height, width = (
            (x.shape[2 + i] + 2 * self.padding[i] - self.dilation[i] * (base.shape[2 + i] - 1) - 1) // self.stride[i]
            + 1
            for i in (0, 1)
        )
        return height, width


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


def conv2d(x: Tensor, bias: Tensor | None, adapted: Adapted, how: Convolution) -> Tensor:
    """`functional.conv2d(x, W, bias, ...)` without groups, for x (b, c, height, width) and bias (o,) or None.

    W is, for each output, a row of (B ⊙ f) A read in order: the rows of B are o outputs of k chunks each, the columns
    of A one chunk of c·h·w / k numbers.
    """
    own, (x, bias) = adapted.autocast(x, bias)  # type: ignore[assignment]
    rows = own.factors.t()
    if len(rows) > 1:
        rows = rows.repeat_interleave(math.prod(how.places(x, own.base)) * (len(own.b) // len(own.base)), dim=0)
    result: Tensor = _Convolution.apply(x, own.base, bias, own.b, own.a, rows, (how, own.order is not None))
    return result


class _Convolution(torch.autograd.Function):
    """Patches are kept for the backward pass where they are a quarter of the weight or less, else made again."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        base: Tensor,
        bias: Tensor | None,
        b: Tensor,
        a: Tensor,
        factors: Tensor,
        form: tuple[Convolution, bool],
    ) -> Tensor:
        how, channels_last = form
        result = functional.conv2d(x, base, bias, how.stride, how.padding, how.dilation)
        patches = _patches(x, base, how, channels_last, a.shape[1])
        hidden = torch.mm(patches, a.t()).mul_(factors).view(-1, b.numel() // len(base))
        rows, across = _rows(result), b.reshape(len(base), -1).t()
        if rows._is_view():
            rows.addmm_(hidden, across)
        else:
            result += _images(torch.mm(hidden, across), result)
        kept = patches if 4 * patches.numel() <= base.numel() else None
        ctx.save_for_backward(x, base, bias, b, a, factors, hidden, kept)
        ctx.how, ctx.channels_last = how, channels_last
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, base, bias, b, a, factors, hidden, patches = ctx.saved_tensors
        how: Convolution = ctx.how
        if torch.is_grad_enabled():
            plain = partial(_unfolded, factors, how, ctx.channels_last)
            return (*_differentiably(plain, (x, base, bias, b, a), gradient, ctx.needs_input_grad[:5]), None, None)
        of_x, of_base, of_bias, of_b, of_a = ctx.needs_input_grad[:5]
        grad_b = grad_a = None
        outputs = None if bias is None else [len(bias)]
        grad_x, grad_base, grad_bias = torch.ops.aten.convolution_backward(
            gradient, x, base, outputs, how.stride, how.padding, how.dilation, False, (0, 0), 1,
            (of_x, of_base, of_bias),
        )  # fmt: skip
        rows, across = _rows(gradient), b.reshape(len(base), -1)
        if of_b:
            grad_b = torch.mm(rows.t(), hidden).view(b.shape)
        if of_x or of_a:
            back = torch.mm(rows, across).view(-1, len(a)).mul_(factors)
            if of_a:
                if patches is None:
                    patches = _patches(x, base, how, ctx.channels_last, a.shape[1])
                grad_a = torch.mm(back.t(), patches)
            if of_x:
                grad_x += _taken_apart(torch.mm(back, a), x, base, how, ctx.channels_last)
        return grad_x, grad_base, grad_bias, grad_b, grad_a, None, None


def _unfolded(
    factors: Tensor, how: Convolution, channels_last: bool, x: Tensor, base: Tensor, bias: Tensor | None,
    b: Tensor, a: Tensor,
) -> Tensor:  # fmt: skip
    """What `_Convolution` computes, by functions that autograd knows."""
    result = functional.conv2d(x, base, bias, how.stride, how.padding, how.dilation)
    patches = functional.unfold(x, base.shape[2:], how.dilation, how.padding, how.stride).transpose(1, 2)
    if channels_last:
        patches = patches.reshape(*patches.shape[:2], x.shape[1], -1).transpose(2, 3)
    hidden = (patches.reshape(-1, a.shape[1]) @ a.t()) * factors
    return result + _images(hidden.view(-1, b.numel() // len(base)) @ b.reshape(len(base), -1).t(), result)


def _rows(images: Tensor) -> Tensor:
    """(b, o, height, width) as (b·height·width, o): a view in channels-last order, else a copy."""
    return images.permute(0, 2, 3, 1).reshape(-1, images.shape[1])


def _images(rows: Tensor, like: Tensor) -> Tensor:
    """The other way round, in the shape of `like`."""
    count, channels, height, width = like.shape
    return rows.view(count, height, width, channels).permute(0, 3, 1, 2)


def _patches(x: Tensor, base: Tensor, how: Convolution, channels_last: bool, columns: int) -> Tensor:
    """What the kernel sees at each place, in the order of the product's memory, in rows of so many columns."""
    padded = _padded(x, how)
    padded[_inside(x, how)] = x.permute(0, 2, 3, 1)
    height, width = how.places(x, base)
    made = x.new_empty(_patch_shape(len(x), height, width, base, channels_last))
    for at, window in _windows(made, padded, how, height, width, channels_last):
        at.copy_(window)
    return made.view(-1, columns)


def _taken_apart(patches: Tensor, x: Tensor, base: Tensor, how: Convolution, channels_last: bool) -> Tensor:
    """The sum over patches at each place of x: the transpose of `_patches`."""
    padded = _padded(x, how)
    height, width = how.places(x, base)
    made = patches.view(_patch_shape(len(x), height, width, base, channels_last))
    for at, window in _windows(made, padded, how, height, width, channels_last):
        window += at
    return padded[_inside(x, how)].permute(0, 3, 1, 2)


def _padded(x: Tensor, how: Convolution) -> Tensor:
    """Zeros (b, height, width, c), with room for padding."""
    count, channels, height, width = x.shape
    return x.new_zeros(count, height + 2 * how.padding[0], width + 2 * how.padding[1], channels)


def _inside(x: Tensor, how: Convolution) -> tuple[slice, slice, slice]:
    top, left = how.padding
    return slice(None), slice(top, top + x.shape[2]), slice(left, left + x.shape[3])


def _patch_shape(count: int, height: int, width: int, base: Tensor, channels_last: bool) -> tuple[int, ...]:
    channels, *kernel = base.shape[1:]
    each = (*kernel, channels) if channels_last else (channels, *kernel)
    return (count, height, width, *each)


def _windows(
    patches: Tensor, padded: Tensor, how: Convolution, height: int, width: int, channels_last: bool
) -> list[tuple[Tensor, Tensor]]:
    """For each place of the kernel what the patches have of it, and the window of the padded input that this is; both
    (b, height, width, c)."""
    count, _, across, channels = padded.shape
    (down, right), (rows, columns) = how.stride, patches.shape[3:5] if channels_last else patches.shape[4:6]
    size, places = (count, height, width, channels), rows * columns
    row = across * channels
    read = (padded.stride(0), down * row, right * channels, 1)
    made = (*patches.stride()[:3], 1 if channels_last else places)
    found = []
    for p in range(rows):
        for q in range(columns):
            # As indexing has it, in a third of the time.
            window = padded.as_strided(size, read, p * how.dilation[0] * row + q * how.dilation[1] * channels)
            at = (p * columns + q) * (channels if channels_last else 1)
            found.append((patches.as_strided(size, made, at), window))
    return found
