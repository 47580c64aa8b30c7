"""A linear layer whose weight has a low-rank adapter, computed without merging it: the adapter acts on what it reads.

With W = W0 + (B ⊙ f) A a linear layer is

    x Wᵀ = x W0ᵀ + ((x Aᵀ) ⊙ f) Bᵀ                              (LoRA, arXiv 2106.09685, Section 4.1)

Merging costs as much as the weight is large, this as much as the layer's input and output are: less where a large
weight is applied at few places. It also needs no memory for W. Convolutions: `low_rank_conv`; which way costs less:
`lazy_weight`.

Shapes: inner rank q; `factors` f are constants to the gradient. Differentiable in x, W0, bias, A and B. Under autocast
layers are computed in the precision that it asks for; products with f in the wider of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from attrs import evolve, frozen
from torch import Tensor
from torch.nn import functional

from moframework.layers.merge import merged

__all__ = ["Adapted", "differentiably", "linear"]


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
    order: tuple[int, ...] | None = None

    def autocast(self, *others: Tensor | None) -> tuple[Adapted, list[Tensor | None]]:
        """This and further tensors in the precision of autocast, where that is on."""
        kind = self.base.device.type
        if not torch.amp.is_autocast_available(kind) or not torch.is_autocast_enabled(kind):
            return self, list(others)
        dtype = torch.get_autocast_dtype(kind)
        cast = evolve(self, base=self.base.to(dtype), b=self.b.to(dtype), a=self.a.to(dtype))
        return cast, [None if other is None else other.to(dtype) for other in others]


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


def differentiably(
    layer: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    x: Tensor,
    bias: Tensor | None,
    adapted: Adapted,
    gradient: Tensor,
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """Gradients of a layer, a function of x, weight and bias, in those of x, W0, bias, B and A that need one, which can
    be differentiated in turn. It merges: so far nothing has differentiated twice what has a weight for each sample."""
    base, b, a = adapted.base, adapted.b, adapted.a
    (weight,) = merged(base, b, a, adapted.factors.t(), adapted.order)
    wanted = [t for t, need in zip((x, base, bias, b, a), needed, strict=True) if need and t is not None]
    found = iter(torch.autograd.grad(layer(x, weight, bias), wanted, gradient, create_graph=True))
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
            adapted = Adapted(base, b, a, factors)
            return (*differentiably(functional.linear, x, bias, adapted, gradient, ctx.needs_input_grad[:5]), None)
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
