"""What weight spaces share that add a product of thin factors to each weight of a trained network.

    W(λ) = W0 + (B(λ) ⊙ f(λ)) A(λ)

A space says which factors; this is which weights get them, what else θ(λ) has, and how it is trained.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, cast

import torch
from attrs import frozen
from torch import Tensor, nn

from moframework.errors import SpecError
from moframework.layers.merge import merged
from moframework.weights.base import WeightSpace
from moframework.weights.starting import merged_values

__all__ = ["CONVOLUTIONS", "Adapter", "AdapterSpace", "Form", "kaiming"]

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


class AdapterSpace(WeightSpace):
    """θ(λ) = θ0 plus a product of thin factors for every adapted weight; the rest of θ0 is shared by all λ.

    Attributes:
        adapted: which weights have adapters.
        shared: θ0.
        lr_factor: learning rate of all else over that of θ0.
        scale: what products are multiplied with.
        merge: what puts adapters and weights together.
        factors: the parameters of each adapted weight, in the order of `adapted`, by what they are called.
    """

    by_task = True
    """Whether A and B are the same for all λ, and f = scale·λ, each entry as often as an objective has columns."""

    def __init__(
        self, network: nn.Module, initial: Mapping[str, Tensor] | None, rank: int, form: Form, scale: float
    ) -> None:
        super().__init__()
        start = merged_values(network, initial)
        self.adapted = _adapted_weights(network, rank, form)
        if not self.adapted:
            raise SpecError(
                "low-rank adapters need at least one Linear, Embedding, convolution or attention layer that is "
                f"trained; {type(network).__name__} has none. Use another weight space (for example `convex_hull`) or "
                "another backbone."
            )
        self.scale, self.lr_factor = scale, 1.0
        self._names = list(start)
        self.merge = merged
        self._trained = [value.requires_grad for value in start.values()]
        # Names of parameters may hold dots, which ParameterList does not mind; the order is that of the network.
        self.shared = nn.ParameterList(start.values())

    @property
    @abstractmethod
    def factors(self) -> dict[str, nn.ParameterList]:
        """See the class."""

    @abstractmethod
    def adapters(self, preferences: Tensor) -> Iterator[tuple[Adapter, Tensor, Tensor, Tensor, Tensor]]:
        """For each adapted weight its adapter, W0, B, A, and f at each of some preferences (r, m): (r, q).

        B (o, q) and A (q, c) are for all preferences, or (r, o, q) and (r, q, c) for each. f is constant to the
        gradient.
        """

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        """See `WeightSpace.weights`: one scaled copy of B and one product per adapted weight."""
        return self.weights_of(preference.unsqueeze(0))[0]

    def weights_of(self, preferences: Tensor) -> list[dict[str, Tensor]]:
        """See `WeightSpace.weights_of`: one product per adapted weight, whatever the number of preferences."""
        shared = cast("dict[str, Tensor]", self._by_name())
        thetas = [dict(shared) for _ in range(len(preferences))]
        for adapter, base, b, a, factors in self.adapters(preferences):
            values = self.merge(base, b, a, factors, adapter.order)
            for theta, value in zip(thetas, values, strict=True):
                theta[adapter.name] = value if value.shape == adapter.shape else value.view(adapter.shape)
        return thetas

    def by_preference(self, preferences: Tensor, inner: int, like: Tensor, known: dict[Any, Tensor]) -> Tensor:
        """f = scale·λ, each entry `inner` times, (r, m·inner), where `like` is; kept in `known`."""
        key = inner, like.device, like.dtype
        if key not in known:
            scaled = preferences.to(like.device, like.dtype, non_blocking=True) * self.scale
            known[key] = scaled.unsqueeze(2).expand(-1, -1, inner).flatten(1)
        return known[key]

    def _by_name(self) -> dict[str, nn.Parameter]:
        """The shared network's parameters. From the registry: a list looks up the name of each, which takes as long as
        a small product."""
        return dict(zip(self._names, cast(Any, self.shared._parameters.values()), strict=True))

    def unadapted(self) -> dict[str, Tensor]:
        """The parameters that are the same for all preferences, by name."""
        adapted = {each.name for each in self.adapted}
        return {name: value for name, value in self._by_name().items() if name not in adapted}

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """The shared network at `lr`, all else at `lr_factor · lr`."""
        shared = [p for p, trained in zip(self.shared, self._trained, strict=True) if trained]
        own = {id(p) for p in self.shared}
        others = [p for p in self.parameters() if id(p) not in own]
        groups = [("shared", shared, lr), ("adapters", others, lr * self.lr_factor)]
        return [{"name": name, "params": params, "lr": rate} for name, params, rate in groups if params]

    def named_storage(self) -> list[tuple[tuple[str, ...], Tensor]]:
        """See `WeightSpace.named_storage`; factors have the name of their weight and `.adapter_a`, `.adapter_b`, …"""
        named = zip(self._names, self.shared, self._trained, strict=True)
        found: list[tuple[tuple[str, ...], Tensor]] = [((name,), p) for name, p, trained in named if trained]
        for key, values in self.factors.items():
            found += [((f"{each.name}.{key}",), p) for each, p in zip(self.adapted, values, strict=True)]
        return found


def kaiming(like: Tensor, count: int, rows: int, columns: int) -> nn.Parameter:
    """`count` matrices one below the other, each drawn kaiming-uniform with a = √5, as `nn.Linear` is."""
    factors = [like.new_empty(rows, columns) for _ in range(count)]
    for factor in factors:
        nn.init.kaiming_uniform_(factor, a=math.sqrt(5))
    return nn.Parameter(torch.cat(factors))


def _adapted_weights(network: nn.Module, rank: int, form: Form) -> list[Adapter]:
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
        return Adapter(name, shape, inner=r, rows=shape[0], columns=math.prod(shape[1:]), applies=applies)
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
