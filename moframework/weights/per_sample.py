"""A weight with low-rank adapters of which every sample of a batch has its own mixture, applied without being made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from moframework.weights.joined import FACTS

__all__ = ["PerSample"]


class PerSample(Tensor):
    """The weights `W0 + (B ⊙ f_i) A` of the samples i of a batch, as one tensor in the shape of W0.

    A linear layer never needs them: `x_i (W0 + (B ⊙ f_i) A)ᵀ = x_i W0ᵀ + ((x_i Aᵀ) ⊙ f_i) Bᵀ`, so that one pass over
    the batch does for all samples. `functional.linear` computes this, in the precision that autocast asks for;
    differentiable (once) in x, W0, bias, A and B. Inputs are (b, ..., columns of W0), sample by sample along their
    first dimension. Every other operation raises NotImplementedError: there is no one weight to do it with.

    Args:
        base: W0 (o, c).
        b: (o, q).
        a: (q, c).
        factors: (q, b), a column f_i for each sample; constants to the gradient.

    >>> weight = PerSample(torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1), torch.tensor([[1.0, 10.0]]))
    >>> functional.linear(torch.tensor([[2.0], [2.0]]), weight).tolist()
    [[2.0], [20.0]]
    """

    base: Tensor
    b: Tensor
    a: Tensor
    factors: Tensor

    @staticmethod
    def __new__(cls, base: Tensor, b: Tensor, a: Tensor, factors: Tensor) -> PerSample:  # noqa: D102 (see the class)
        made: PerSample = Tensor._make_wrapper_subclass(
            cls, base.shape, dtype=base.dtype, device=base.device, requires_grad=False
        )
        made.base, made.b, made.a, made.factors = base, b, a, factors
        return made

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
            if func is functional.linear:
                return _applied(*args, **given)
            if func in FACTS:
                return func(*args, **given)
        raise _refusal(func)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        # Torch asks for it where a tensor has no memory of its own. What comes here did not pass `__torch_function__`.
        raise _refusal(func)


def _refusal(func: Callable[..., Any]) -> NotImplementedError:
    name = getattr(func, "__name__", str(func))
    # Not a TypeError, which would make Python try `==` and `+` in other ways.
    return NotImplementedError(
        f"{name}: a weight that differs from sample to sample can only be used by a linear layer"
    )


def _applied(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`functional.linear`, whose names of arguments these are."""
    if not isinstance(weight, PerSample) or isinstance(input, PerSample) or isinstance(bias, PerSample):
        raise _refusal(functional.linear)
    base, b, a, factors = weight.base, weight.b, weight.a, weight.factors
    if input.dim() < 2 or len(input) != factors.shape[1]:
        raise ValueError(
            f"a weight of {factors.shape[1]} samples is applied to an input {tuple(input.shape)}, but its first "
            "dimension must run over the samples"
        )
    x = input
    if x.dim() > 2:
        factors = factors.repeat_interleave(x.shape[1:-1].numel(), dim=1)
        x = x.flatten(0, -2)
    kind = x.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        x, base, b, a = x.to(dtype), base.to(dtype), b.to(dtype), a.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    result: Tensor = _Linear.apply(x, base, bias, b, a, factors)
    return result if input.dim() == 2 else result.view(*input.shape[:-1], len(base))


class _Linear(torch.autograd.Function):
    """`x W0ᵀ + bias + ((x Aᵀ) ⊙ fᵀ) Bᵀ` for x (b, c).

    The thin products are made as A xᵀ, Bᵀ gᵀ and h g, (q, b) or (q, o): with the long side as rows BLAS takes up to
    five times as long. What autograd would add up afterwards is added by the products themselves. Products with f are
    computed in the wider of the two precisions.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, base: Tensor, bias: Tensor | None, b: Tensor, a: Tensor, factors: Tensor
    ) -> Tensor:
        hidden = functional.linear(a, x).mul_(factors)
        ctx.save_for_backward(x, base, b, a, factors, hidden)
        return functional.linear(x, base, bias).addmm_(hidden.t(), b.t())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, base, b, a, factors, hidden = ctx.saved_tensors
        of_x, of_base, of_bias, of_b, of_a, _ = ctx.needs_input_grad
        grad_x = grad_base = grad_bias = grad_b = grad_a = None
        if of_x or of_a:
            back = torch.mm(b.t(), gradient.t()).mul_(factors)
            if of_x:
                grad_x = torch.mm(gradient, base).addmm_(back.t(), a)
            if of_a:
                grad_a = torch.mm(back, x)
        if of_base:
            grad_base = torch.mm(gradient.t(), x)
        if of_bias:
            grad_bias = gradient.sum(dim=0)
        if of_b:
            grad_b = torch.mm(hidden, gradient).t()
        return grad_x, grad_base, grad_bias, grad_b, grad_a, None
