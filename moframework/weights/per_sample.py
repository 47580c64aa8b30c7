"""A weight with low-rank adapters of which every sample of a batch has its own mixture, applied without being made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional

from moframework.weights.activation_space import linear
from moframework.weights.stand_in import StandIn

__all__ = ["PerSample"]


class PerSample(StandIn):
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
        made = cls.standing(base.shape, base)
        made.base, made.b, made.a, made.factors = base, b, a, factors
        return made

    def used(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """A linear layer, or a refusal."""
        if func is functional.linear:
            return _applied(*args, **kwargs)
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
    if input.dim() < 2 or len(input) != weight.factors.shape[1]:
        raise ValueError(
            f"a weight of {weight.factors.shape[1]} samples is applied to an input {tuple(input.shape)}, but its first "
            "dimension must run over the samples"
        )
    return linear(input, weight.base, bias, weight.b, weight.a, weight.factors)
