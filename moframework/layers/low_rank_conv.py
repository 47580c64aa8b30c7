"""A convolution whose weight has a low-rank adapter, computed without merging it; see `low_rank`.

It is a linear layer on the patches of its input.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from attrs import frozen
from torch import Tensor
from torch.nn import functional

from moframework.layers.low_rank import Adapted, differentiably

__all__ = ["Convolution", "conv2d"]


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

            def layer(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
                return functional.conv2d(x, weight, bias, how.stride, how.padding, how.dilation)

            order = (0, 2, 3, 1) if ctx.channels_last else None
            adapted = Adapted(base, b, a, factors.t(), order)
            return (*differentiably(layer, x, bias, adapted, gradient, ctx.needs_input_grad[:5]), None, None)
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


def _rows(images: Tensor) -> Tensor:
    """(b, o, height, width) as (b·height·width, o): a view in channels-last order, else a copy."""
    return images.permute(0, 2, 3, 1).reshape(-1, images.shape[1])


def _images(rows: Tensor, like: Tensor) -> Tensor:
    """The other way round, in the shape of `like`."""
    count, channels, height, width = like.shape
    return rows.view(count, height, width, channels).permute(0, 3, 1, 2)


def _patches(x: Tensor, base: Tensor, how: Convolution, channels_last: bool, columns: int) -> Tensor:
    """What the kernel sees at each place, in the order of the product's memory, in rows of so many columns."""
    padded, inside = _padded(x, how)
    inside.copy_(x.permute(0, 2, 3, 1))
    height, width = how.places(x, base)
    made = x.new_empty(_patch_shape(len(x), height, width, base, channels_last))
    for at, window in _windows(made, padded, how, height, width, channels_last):
        at.copy_(window)
    return made.view(-1, columns)


def _taken_apart(patches: Tensor, x: Tensor, base: Tensor, how: Convolution, channels_last: bool) -> Tensor:
    """The sum over patches at each place of x: the transpose of `_patches`."""
    padded, inside = _padded(x, how)
    height, width = how.places(x, base)
    made = patches.view(_patch_shape(len(x), height, width, base, channels_last))
    for at, window in _windows(made, padded, how, height, width, channels_last):
        window += at
    return inside.permute(0, 3, 1, 2)


def _padded(x: Tensor, how: Convolution) -> tuple[Tensor, Tensor]:
    """Zeros (b, height, width, c) with room for padding, and the part of them without it."""
    count, channels, height, width = x.shape
    top, left = how.padding
    padded = x.new_zeros(count, height + 2 * top, width + 2 * left, channels)
    return padded, padded[:, top : top + height, left : left + width]


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
