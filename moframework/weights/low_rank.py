"""A shared trained network plus one low-rank adapter per objective: the weight space of PaLoRA and LORPMAN.

For every adapted weight (Linear and convolution weights, heads included)

    W(λ) = W0 + (α/r) · Σ_t λ_t B_t A_t                         (PaLoRA, arXiv 2407.08056, Eq. 2)

and W0 is trained, not frozen. Biases, normalization and everything else are shared by all λ. A is drawn kaiming-uniform
with a = √5, B is zero, so at the start every λ gives the same network.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Literal, cast

import torch
from attrs import frozen
from torch import Tensor, nn

from moframework.config import config, option
from moframework.errors import SpecError
from moframework.layers.merge import merged
from moframework.objectives.orthogonality import orthogonality
from moframework.weights.base import WeightSpace, WeightSpaceConfig
from moframework.weights.starting import merged_values

__all__ = ["CONVOLUTIONS", "LowRank", "LowRankSpace"]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_MATRICES = (nn.Linear, nn.Embedding, nn.EmbeddingBag)
# Of attention, those of its matrices that are not a Linear layer: either the first or the other three are present.
_OF_ATTENTION = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


@config
class LowRank(WeightSpaceConfig):
    """Shared network plus low-rank adapters (PaLoRA, ICLR 2025, arXiv 2407.08056).

    Adapted are the weights of Linear, Embedding and convolution layers, transposed and grouped ones too, and the
    projections of MultiheadAttention (those of queries, keys and values as one matrix where they are stored as one).

    Overhead in parameters of the `loralib` form, rank r: a matrix costs m·r·(in + out), a k×k convolution
    m·r·k²·(in + out/groups); for LeNet on 1×28×28 with two 10-way heads, r = 1, m = 2 that is 3,430 of 27,450.

    The `separable` form has as many parameters (where there are no groups) and the same rank budget r·k, but its
    factors are filters, 1×k and then k×1 (Jaderberg, Vedaldi, Zisserman, BMVC 2014, arXiv 1405.3866). Its product lies
    in memory as a channels-last kernel does, so that merging it into one costs less.
    """

    rank: int = option(4, ge=1, le=4096, help="rank r of each adapter")
    alpha: float = option(
        1.0, gt=0, help="scale α of the adapters: they are multiplied by α/r; sets the width of the front"
    )
    conv: Literal["loralib", "peft", "separable"] = option(
        "loralib",
        help="form of a convolution's adapter: loralib (B·A reshaped to the kernel, rank budget r·k; as published) "
        "peft (a k×k convolution to r channels, then 1×1), or separable (1×k to r·k channels, then k×1)",
    )
    lr_factor: float | None = option(
        None, gt=0, help="learning rate of the adapters over that of the shared network; none means m, as published"
    )
    freeze_after: float | None = option(
        None, gt=0, lt=1, help="share of the training after which the shared network stays as it is; none: never"
    )
    orthogonal: float = option(
        0.0, ge=0, help="weight of the penalty on adapters of one layer that are not orthogonal to each other"
    )

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """The space around one network made by `make`, or around `initial`."""
        return LowRankSpace(make(), m, self, initial)


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


class LowRankSpace(WeightSpace):
    """θ(λ) = θ0 plus, for every adapted weight, (α/r) Σ_t λ_t B_t A_t.

    Storage: the factors of all m objectives of one layer are stacked, A (m·q, c) and B (o, m·q) with q the inner
    rank, so that Σ_t λ_t B_t A_t is one matrix product: (B ⊙ [λ ⊗ 1_q]) A.
    """

    def __init__(self, network: nn.Module, m: int, options: LowRank, initial: Mapping[str, Tensor] | None) -> None:
        super().__init__()
        self.m = m
        self.scale = options.alpha / options.rank
        self.lr_factor = float(m) if options.lr_factor is None else options.lr_factor
        self.freeze_after, self.orthogonal = options.freeze_after, options.orthogonal
        start = merged_values(network, initial)
        self.adapted = _adapted_weights(network, options)
        if not self.adapted:
            raise SpecError(
                "low-rank adapters need at least one Linear, Embedding, convolution or attention layer that is "
                f"trained; {type(network).__name__} has none. Use another weight space (for example `convex_hull`) or "
                "another backbone."
            )
        self._names = list(start)
        self.merge = merged
        self._trained = [value.requires_grad for value in start.values()]
        # Names of parameters may hold dots, which ParameterList does not mind; the order is that of the network.
        self.shared = nn.ParameterList(start.values())
        self.a = nn.ParameterList()
        self.b = nn.ParameterList()
        for adapted in self.adapted:
            like = start[adapted.name]
            factors = []
            for _ in range(m):
                factor = like.new_empty(adapted.inner, adapted.columns)
                nn.init.kaiming_uniform_(factor, a=math.sqrt(5))
                factors.append(factor)
            self.a.append(nn.Parameter(torch.cat(factors)))
            self.b.append(nn.Parameter(like.new_zeros(adapted.rows, m * adapted.inner)))

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        """See `WeightSpace.weights`: one scaled copy of B and one product per adapted weight."""
        return self.weights_of(preference.unsqueeze(0))[0]

    def weights_of(self, preferences: Tensor) -> list[dict[str, Tensor]]:
        """See `WeightSpace.weights_of`: one product per adapted weight, whatever the number of preferences."""
        shared = cast("dict[str, Tensor]", self._by_name())
        thetas = [dict(shared) for _ in range(len(preferences))]
        for adapter, base, b, a, factors in self.adapters(preferences):
            for theta, value in zip(thetas, self.merge(base, b, a, factors, adapter.order), strict=True):
                theta[adapter.name] = value
        return thetas

    def adapters(self, preferences: Tensor) -> Iterator[tuple[Adapter, Tensor, Tensor, Tensor, Tensor]]:
        """For each adapted weight its adapter, W0, B, A, and what the columns of B are multiplied with at each of some
        preferences (r, m): (r, m·q)."""
        shared = self._by_name()
        factors: dict[tuple[int, torch.device, torch.dtype], Tensor] = {}
        values = self.a._parameters.values(), self.b._parameters.values()
        for adapter, a, b in zip(self.adapted, *cast(Any, values), strict=True):
            key = (adapter.inner, b.device, b.dtype)
            if key not in factors:
                scaled = preferences.to(b.device, b.dtype, non_blocking=True) * self.scale
                factors[key] = scaled.unsqueeze(2).expand(-1, -1, adapter.inner).flatten(1)
            yield adapter, shared[adapter.name], b, a, factors[key]

    def _by_name(self) -> dict[str, nn.Parameter]:
        """The shared network's parameters. From the registry: a list looks up the name of each, which takes as long as
        a small product."""
        return dict(zip(self._names, cast(Any, self.shared._parameters.values()), strict=True))

    def unadapted(self) -> dict[str, Tensor]:
        """The parameters that are the same for all preferences, by name."""
        adapted = {each.name for each in self.adapted}
        return {name: value for name, value in self._by_name().items() if name not in adapted}

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """The shared network at `lr`, the adapters at `lr_factor · lr`."""
        shared = [p for p, trained in zip(self.shared, self._trained, strict=True) if trained]
        return [
            {"name": "shared", "params": shared, "lr": lr},
            {"name": "adapters", "params": [*self.a, *self.b], "lr": lr * self.lr_factor},
        ]

    def named_storage(self) -> list[tuple[tuple[str, ...], Tensor]]:
        """See `WeightSpace.named_storage`; factors have the name of their weight and `.adapter_a`, `.adapter_b`."""
        named = zip(self._names, self.shared, self._trained, strict=True)
        shared: list[tuple[tuple[str, ...], Tensor]] = [((name,), p) for name, p, trained in named if trained]
        a = [((f"{each.name}.adapter_a",), p) for each, p in zip(self.adapted, self.a, strict=True)]
        return [*shared, *a, *(((f"{each.name}.adapter_b",), p) for each, p in zip(self.adapted, self.b, strict=True))]

    def split_by_layer(self, layers: Sequence[Sequence[str]]) -> list[WeightSpace] | None:
        """See `ShardableSpace.split_by_layer`; None with a penalty or where parameters freeze."""
        if self.orthogonal or self.freeze_after is not None:
            return None
        return [self._layer_space(set(names)) for names in layers]

    def load_layers(self, spaces: Sequence[WeightSpace]) -> None:
        """See `ShardableSpace.load_layers`."""
        at = {name: i for i, name in enumerate(self._names)}
        adapted = {each.name: k for k, each in enumerate(self.adapted)}
        with torch.no_grad():
            for space in cast("Sequence[LowRankSpace]", spaces):
                for name, value in zip(space._names, space.shared, strict=True):
                    self.shared[at[name]].copy_(value)
                for each, a, b in zip(space.adapted, space.a, space.b, strict=True):
                    self.a[adapted[each.name]].copy_(a)
                    self.b[adapted[each.name]].copy_(b)

    def _layer_space(self, names: Collection[str]) -> LowRankSpace:
        kept = [i for i, name in enumerate(self._names) if name in names]
        adapted = [k for k, each in enumerate(self.adapted) if each.name in names]
        # Everything else is small, and the same.
        space = copy.copy(self)
        space.__dict__.update(_parameters={}, _buffers={}, _modules={})
        space._names = [self._names[i] for i in kept]
        space._trained = [self._trained[i] for i in kept]
        space.adapted = [self.adapted[k] for k in adapted]
        space.shared = nn.ParameterList(_copied(self.shared[i]) for i in kept)
        space.a = nn.ParameterList(_copied(self.a[k]) for k in adapted)
        space.b = nn.ParameterList(_copied(self.b[k]) for k in adapted)
        return space

    def penalty(self) -> Tensor | None:
        """`orthogonal` times the sum over adapted weights of `orthogonality`."""
        if self.orthogonal == 0 or self.m == 1:
            return None
        terms = []
        for adapted, a, b in zip(self.adapted, self.a, self.b, strict=True):
            left = b.view(adapted.rows, self.m, adapted.inner).transpose(0, 1)
            terms.append(orthogonality(left, a.view(self.m, adapted.inner, adapted.columns)))
        return self.orthogonal * torch.stack(terms).sum()

    def progressed(self, progress: float) -> None:
        """Freeze the shared network after `freeze_after`."""
        if self.freeze_after is None:
            return
        open_ = progress <= self.freeze_after
        for parameter, trained in zip(self.shared, self._trained, strict=True):
            parameter.requires_grad_(trained and open_)


def _copied(parameter: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(parameter.detach().clone(memory_format=torch.preserve_format), parameter.requires_grad)


def _adapted_weights(network: nn.Module, options: LowRank) -> list[Adapter]:
    """The weights that get adapters, in the order of the network."""
    parameters = dict(network.named_parameters())  # a tied weight is listed once, under its first name
    found: dict[str, Adapter] = {}
    for prefix, module in network.named_modules():
        keys = _OF_ATTENTION if isinstance(module, nn.MultiheadAttention) else ("weight",)
        if not isinstance(module, (*_MATRICES, *CONVOLUTIONS, nn.MultiheadAttention)):
            continue
        for key in keys:
            name = f"{prefix}.{key}" if prefix else key
            if name in parameters and parameters[name].requires_grad:
                found[name] = _adapted(name, parameters[name].shape, module, options)
    return list(found.values())


def _adapted(name: str, shape: torch.Size, module: nn.Module, options: LowRank) -> Adapter:
    r = options.rank
    applies = isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)
    if not isinstance(module, CONVOLUTIONS) or options.conv == "peft":
        return Adapter(name, shape, inner=r, rows=shape[0], columns=math.prod(shape[1:]), applies=applies)
    if options.conv == "separable":
        first, per_group, side, *others = shape
        order = (0, *range(2, len(shape)), 1)
        return Adapter(name, shape, r * side, first * side, math.prod(others) * per_group, order, applies)
    # loralib: rows (out/groups)·k, columns in·k, inner rank r·k. For a kernel that is not square, rows take its
    # first side and columns the product of the others, which keeps rows · columns = the kernel's size. The kernel of a
    # transposed convolution begins with the inputs: they take the part of the outputs.
    first, per_group, side, *others = shape
    rows, columns = first // module.groups * side, per_group * module.groups * math.prod(others)
    return Adapter(name, shape, inner=r * side, rows=rows, columns=columns, applies=applies)
