"""A low-rank adapter merged into a weight, for one preference or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["LARGE", "by_row", "merged", "merged_by_node", "sent_to_factors"]

LARGE = 2**17
"""From so many elements on, passes over a weight cost more than what a node of autograd's graph in Python does."""

Order = tuple[int, ...] | None


def merged(base: Tensor, b: Tensor, a: Tensor, factors: Tensor, order: Order = None) -> tuple[Tensor, ...]:
    """`W0 + (B ⊙ f_j) A` for each row f_j of the factors, shaped and laid out in memory as the base.

    Args:
        base: W0, of any shape with o·c elements.
        b: (o, q), or (r, o, q), one for each row.
        a: (q, c), or (r, q, c). The product's memory, read in order, is the weight.
        factors: f (r, q), what the columns of B are multiplied with; constants to the gradient.
        order: the axes of the weight, from the one that the product's memory runs through slowest; None: as they are.

    Returns:
        r tensors, differentiable in base, b and a.

    >>> one = merged(torch.zeros(2, 2), torch.ones(2, 1), torch.ones(1, 2), torch.tensor([[3.0]]))
    >>> one[0].tolist()
    [[3.0, 3.0], [3.0, 3.0]]
    """
    if order is not None:
        back = tuple(order.index(axis) for axis in range(len(order)))
        return tuple(value.permute(back) for value in merged(base.permute(order), b, a, factors))
    if len(factors) == 1:
        b, a = (each if each.dim() == 2 else each[0] for each in (b, a))
    if len(factors) == 1 and base.is_contiguous():
        # One pass over the weight: the product is added where the sum is made.
        if base.dim() == 2 and base.shape[0] == b.shape[0]:
            return (torch.addmm(base, b * factors, a),)
        return (torch.addmm(base.view(len(b), a.shape[1]), b * factors, a).view(base.shape),)
    thin = torch.mm(_scaled(b, factors), a) if a.dim() == b.dim() == 2 else (b * factors.unsqueeze(1)) @ a
    products = thin.view(len(factors), *base.shape)
    if base.dim() == 2:
        return torch.add(base, products).unbind()
    # The base comes first: its memory order is that of the sum.
    return tuple(torch.add(base, product) for product in products.unbind())


def merged_by_node(base: Tensor, b: Tensor, a: Tensor, factors: Tensor, order: Order = None) -> tuple[Tensor, ...]:
    """As `merged`; large weights by one node of autograd's graph, with a backward of its own.

    Autograd's would copy the gradient of θ, as large as the weight, for the base; here it is given away. And A Gᵀ gives
    the same numbers as G Aᵀ, in three quarters of the time.
    """
    if base.numel() < LARGE or torch._C._are_functorch_transforms_active():
        return merged(base, b, a, factors, order)
    if max(a.dim(), b.dim()) == 3:
        rows = by_row(b, a, factors)
        return tuple(one for row in rows for one in merged_by_node(base, *row, order))
    result: tuple[Tensor, ...] = _Merged.apply(base, b, a, factors, order)
    return result


def by_row(b: Tensor, a: Tensor, factors: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """B, A and f (1, q) of each row; arguments as `merged` takes them."""
    bs, own = ([each] * len(factors) if each.dim() == 2 else list(each.unbind()) for each in (b, a))
    return list(zip(bs, own, torch.split(factors, 1), strict=True))


class _Merged(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, base: Tensor, b: Tensor, a: Tensor, factors: Tensor, order: Order) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(b, a, factors)
        ctx.order = order
        return merged(base, b, a, factors, order)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        b, a, factors = ctx.saved_tensors
        rows = [j for j, gradient in enumerate(gradients) if gradient is not None]
        present = [gradient for gradient in gradients if gradient is not None]
        if not present:
            return None, None, None, None, None
        if len(rows) < len(factors):
            factors = factors[rows]
        of_base, of_b, of_a = ctx.needs_input_grad[:3]
        grad_b, grad_a = sent_to_factors(present, b, a, factors, ctx.order) if of_b or of_a else (None, None)
        grad_base = None
        if of_base:
            grad_base = present[0]
            for other in present[1:]:
                grad_base = grad_base + other
        return grad_base, grad_b, grad_a, None, None


def sent_to_factors(
    gradients: Sequence[Tensor], b: Tensor, a: Tensor, factors: Tensor, order: Order
) -> tuple[Tensor, Tensor]:
    """The gradients of B and A from those of r merged weights; arguments as `merged` takes them."""
    ordered = gradients if order is None else [gradient.permute(order) for gradient in gradients]
    matrices = [gradient.reshape(len(b), a.shape[1]) for gradient in ordered]
    matrix = matrices[0] if len(matrices) == 1 else torch.cat(matrices)
    of_scaled = torch.mm(a, matrix.t()).t().reshape(len(factors), *b.shape)
    return (of_scaled * factors.unsqueeze(1)).sum(dim=0), torch.mm(_scaled(b, factors).t(), matrix)


def _scaled(b: Tensor, factors: Tensor) -> Tensor:
    """B ⊙ f_j for each row of f, one below the other: (r·o, q)."""
    return b * factors if len(factors) == 1 else (b * factors.unsqueeze(1)).flatten(0, 1)
