"""Which weights of a network get adapters of thin factors, and the shapes of these."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from attrs import frozen
from torch import Tensor, nn

__all__ = ["CONVOLUTIONS", "Adapter", "Form", "adapted_weights", "kaiming"]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_MATRICES = (nn.Linear, nn.Embedding, nn.EmbeddingBag)
# Of attention, those of its matrices that are not a Linear layer: either the first or the other three are present.
_OF_ATTENTION = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")

Form = Literal["loralib", "peft", "separable"]


@frozen
class Adapter:
    """A weight that gets adapters, and the shapes of one objective's factors, A (q, columns) and B (rows, q). The
    product's memory, read in order, is the weight with its axes in that order (None: as they are)."""

    name: str
    shape: torch.Size
    inner: int
    rows: int
    columns: int
    order: tuple[int, ...] | None = None
    applies: bool = False
    """Whether the layer is one whose adapter can be applied to what it reads."""
    padding: int | None = None
    """The row of an embedding that gets no gradient."""


def kaiming(like: Tensor, count: int, rows: int, columns: int) -> nn.Parameter:
    """`count` matrices one below the other, each drawn kaiming-uniform with a = √5, as `nn.Linear` is."""
    factors = [like.new_empty(rows, columns) for _ in range(count)]
    for factor in factors:
        nn.init.kaiming_uniform_(factor, a=math.sqrt(5))
    return nn.Parameter(torch.cat(factors))


def adapted_weights(network: nn.Module, rank: int, form: Form) -> list[Adapter]:
    """The weights that get adapters, in the order of the network."""
    parameters = dict(network.named_parameters())  # a tied weight is listed once, under its first name
    found: dict[str, Adapter] = {}
    for prefix, module in network.named_modules():
        keys: Sequence[str] = _OF_ATTENTION if isinstance(module, nn.MultiheadAttention) else ("weight",)
        if not isinstance(module, (*_MATRICES, *CONVOLUTIONS, nn.MultiheadAttention)):
            continue
        for key in keys:
            name = f"{prefix}.{key}" if prefix else key
            if name in parameters and parameters[name].requires_grad:
                found[name] = _adapted(name, parameters[name].shape, module, rank, form)
    return list(found.values())


def _adapted(name: str, shape: torch.Size, module: nn.Module, r: int, form: Form) -> Adapter:
    applies = isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)
    if not isinstance(module, CONVOLUTIONS) or form == "peft":
        padding = getattr(module, "padding_idx", None)
        return Adapter(name, shape, r, shape[0], math.prod(shape[1:]), applies=applies, padding=padding)
    if form == "separable":
        first, per_group, side, *others = shape
        order = (0, *range(2, len(shape)), 1)
        return Adapter(name, shape, r * side, first * side, math.prod(others) * per_group, order, applies)
    # loralib: rows (out/groups)·k, columns in·k, inner rank r·k. For a kernel that is not square, rows take its
    # first side and columns the product of the others, which keeps rows · columns = the kernel's size. The kernel of a
    # transposed convolution begins with the inputs: they take the part of the outputs.
    first, per_group, side, *others = shape
    rows, columns = first // module.groups * side, per_group * module.groups * math.prod(others)
    return Adapter(name, shape, inner=r * side, rows=rows, columns=columns, applies=applies)
