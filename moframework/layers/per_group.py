"""Weights for one pass over a batch whose consecutive groups see different preferences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from attrs import field, frozen
from torch import Tensor
from torch.nn import functional

from moframework.layers.lazy_tensor import LazyTensor, lazy_tensors, materialized
from moframework.layers.low_rank import Adapted, applied
from moframework.layers.merge import merged_by_node
from moframework.layers.rematerialized import Rematerialized

__all__ = ["Mixtures", "PerGroup", "PerGroupNorm"]

# Functions of layers whose first argument has the samples along its first dimension.
_LAYERS: frozenset[Callable[..., Any]] = frozenset(
    {
        *(functional.linear, functional.embedding),
        *(functional.conv1d, functional.conv2d, functional.conv3d),
        *(functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d),
    }
)
# Merged weights of all groups that take more than this are made again in the backward pass.
_KEPT_BYTES = 16 * 2**20


@frozen
class Mixtures:
    """What the columns of B are multiplied with in each group.

    Attributes:
        rows: (M, q), one for each group; constants to the gradient.
        sizes: numbers of samples of the M groups.
    """

    rows: Tensor
    sizes: tuple[int, ...]
    columns: Tensor = field(init=False)
    """(q, b), one for each sample."""

    @columns.default
    def _spread(self) -> Tensor:
        columns = torch.split(self.rows.t(), 1, dim=1)
        return torch.cat([c.expand(-1, n) for c, n in zip(columns, self.sizes, strict=True)], dim=1)


class PerGroup(LazyTensor):
    """The weights `W0 + (B ⊙ f_j) A` of the groups j of a batch, as one tensor in the shape of W0.

    A layer that uses it gives what it gives of each group with the group's own weight. On the way that costs less:
    merged into a weight for each group, or, for a linear layer and a convolution, in one go, with the adapter applied
    to what the layer reads (`activation_space`). Differentiable (once) in the layer's input, W0, bias, A and B. Inputs
    have the samples along their first dimension, those of `multi_head_attention_forward`, which torch calls so, along
    their second. Every other function raises NotImplementedError: there is no one weight to do it with.

    Args:
        base: W0, of any shape with o·c elements.
        b: (o, q).
        a: (q, c).
        mixtures: the f_j and the sizes of the groups.
        order: as `merged` takes it.

    >>> mixtures = Mixtures(torch.tensor([[1.0], [10.0]]), (1, 2))
    >>> weight = PerGroup(torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1), mixtures)
    >>> functional.linear(torch.tensor([[2.0], [2.0], [3.0]]), weight).tolist()
    [[2.0], [20.0], [30.0]]
    """

    base: Tensor
    b: Tensor
    a: Tensor
    mixtures: Mixtures
    order: tuple[int, ...] | None

    @staticmethod
    def __new__(  # noqa: D102 (see the class)
        cls, base: Tensor, b: Tensor, a: Tensor, mixtures: Mixtures, order: tuple[int, ...] | None = None
    ) -> PerGroup:
        made = cls.standing_for(base.shape, base)
        made.base, made.b, made.a, made.mixtures, made.order = base, b, a, mixtures, order
        return made

    def materialize(self) -> Tensor:
        """Refused: the groups have no one weight."""
        raise _refusal(None)

    def each(self) -> list[Tensor]:
        """The weights of the groups."""
        rows = self.mixtures.rows
        if len(rows) * self.base.numel() * self.base.element_size() <= _KEPT_BYTES:
            return list(merged_by_node(self.base, self.b, self.a, rows, self.order))
        return [Rematerialized(self.base.shape, self.base, partial(self._one, row)) for row in torch.split(rows, 1)]

    def _one(self, row: Tensor) -> Tensor:
        return merged_by_node(self.base, self.b, self.a, row, self.order)[0]

    def through(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What the layer makes of all groups, or a refusal."""
        if func is functional.multi_head_attention_forward:
            return _attention(self.mixtures.sizes, args, kwargs)
        read, *others = [*args, *kwargs.values()] or [None]
        if func not in _LAYERS or not isinstance(read, Tensor) or isinstance(read, LazyTensor):
            raise _refusal(func)
        if len(args) < 2 or args[1] is not self or sum(1 for _ in lazy_tensors(others)) > 1:
            raise _refusal(func)
        if read.dim() < 2 and func is not functional.embedding:
            raise _refusal(func)
        _check(read, 0, self.mixtures.sizes)
        sizes, columns = self.mixtures.sizes, self.mixtures.columns
        adapted = Adapted(self.base, self.b, self.a, columns, self.order)
        found = applied(func, args, kwargs, adapted, len(sizes) - 1)
        return _per_group(func, args, kwargs, sizes) if found is None else found


class PerGroupNorm(LazyTensor):
    """The weight of a BatchNorm layer that normalizes each group of a batch by itself, in their order; for all other
    functions the weight.

    Args:
        weight: (c,).
        sizes: numbers of samples of the groups.
    """

    weight: Tensor
    sizes: tuple[int, ...]

    @staticmethod
    def __new__(cls, weight: Tensor, sizes: tuple[int, ...]) -> PerGroupNorm:  # noqa: D102 (see the class)
        made = cls.standing_for(weight.shape, weight)
        made.weight, made.sizes = weight, sizes
        return made

    def materialize(self) -> Tensor:
        """The weight."""
        return self.weight

    def through(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Normalization of all groups."""
        if func is not functional.batch_norm:
            return None
        given, further = (
            [materialized(value) for value in args],
            {key: materialized(value) for key, value in kwargs.items()},
        )
        _check(given[0], 0, self.sizes)
        return _per_group(func, given, further, self.sizes)


def _refusal(func: Callable[..., Any] | None) -> NotImplementedError:
    name = "code below torch's functions" if func is None else getattr(func, "__name__", str(func))
    # Not a TypeError, which would make Python try `==` and `+` in other ways.
    return NotImplementedError(f"{name}: a weight that differs from sample to sample can only be used by a layer")


def _check(read: Tensor, dimension: int, sizes: Sequence[int]) -> None:
    if read.shape[dimension] != sum(sizes):
        raise ValueError(
            f"a weight of {sum(sizes)} samples is applied to an input {tuple(read.shape)}, but its "
            f"{'first' if dimension == 0 else 'second'} dimension must run over the samples"
        )


def _per_group(
    func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], sizes: Sequence[int]
) -> Tensor:
    """A layer's results of the groups of its first argument, one after another."""
    weights = {id(each): each.each() for each in lazy_tensors(args[1:]) if isinstance(each, PerGroup)}
    results = []
    for j, group in enumerate(torch.split(args[0], list(sizes))):
        own = [weights[id(value)][j] if isinstance(value, PerGroup) else value for value in args[1:]]
        results.append(func(group, *own, **kwargs))
    return torch.cat(results)


def _attention(sizes: Sequence[int], args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Tensor, Tensor | None]:
    """`functional.multi_head_attention_forward` of each group; samples lie along the second dimension."""
    names: dict[str, Any] = dict(zip(_ATTENTION, args, strict=False)) | dict(kwargs)
    reads = [names[name] for name in ("query", "key", "value")]
    masks = names.get("key_padding_mask"), names.get("attn_mask"), names.get("bias_k"), names.get("static_k")
    if any(read.dim() != 3 for read in reads) or any(mask is not None for mask in masks):
        raise _refusal(functional.multi_head_attention_forward)
    for read in reads:
        _check(read, 1, sizes)
    groups = {id(read): torch.split(read, list(sizes), dim=1) for read in reads}
    weights = {key: value.each() for key, value in names.items() if isinstance(value, PerGroup)}
    outputs, maps = [], []
    for j in range(len(sizes)):
        own: dict[str, Any] = {key: weights[key][j] if key in weights else value for key, value in names.items()}
        # What is one tensor stays one: attention of a sequence to itself projects it once.
        own.update({key: groups[id(names[key])][j] for key in ("query", "key", "value")})
        output, attended = functional.multi_head_attention_forward(**own)
        outputs.append(output)
        maps.append(attended)
    return torch.cat(outputs, dim=1), None if maps[0] is None else torch.cat([m for m in maps if m is not None])


# The names of its arguments that torch gives by position.
_ATTENTION = (
    *("query", "key", "value", "embed_dim_to_check", "num_heads", "in_proj_weight", "in_proj_bias", "bias_k", "bias_v"),
    *("add_zero_attn", "dropout_p", "out_proj_weight", "out_proj_bias"),
)
