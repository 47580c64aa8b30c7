"""A shared trained network plus one low-rank adapter per objective: the weight space of PaLoRA and LORPMAN.

For every adapted weight (Linear and convolution weights, heads included)

    W(λ) = W0 + (α/r) · Σ_t λ_t B_t A_t                         (PaLoRA, arXiv 2407.08056, Eq. 2)

and W0 is trained, not frozen. Biases, normalization and everything else are shared by all λ. A is drawn kaiming-uniform
with a = √5, B is zero, so at the start every λ gives the same network.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.errors import SpecError
from moframework.layers.merge import merged
from moframework.objectives.orthogonality import orthogonality
from moframework.weights.adapted import Adapter, Form, adapted_weights, kaiming
from moframework.weights.base import WeightSpace, WeightSpaceConfig
from moframework.weights.starting import copied, merged_values

__all__ = ["AdapterSpace", "LowRank", "LowRankSpace"]


@config
class LowRank(WeightSpaceConfig):
    """Shared network plus low-rank adapters (PaLoRA, ICLR 2025, arXiv 2407.08056).

    Adapted are the weights of Linear, Embedding and convolution layers, transposed and grouped ones too, and the
    projections of MultiheadAttention (those of queries, keys and values as one matrix where they are stored as one).

    Overhead in parameters of the `loralib` form, rank r: a matrix costs m·r·(in + out), a k×k convolution
    m·r·k²·(in + out/groups); for LeNet on 1×28×28 with two 10-way heads, r = 1, m = 2 that is 3,430 of 27,450.

    The `separable` form has as many parameters where there are no groups; its factors are filters, 1×k and then k×1
    (Jaderberg et al., BMVC 2014, arXiv 1405.3866), and their product lies in memory as a channels-last kernel does.

    >>> space = LowRank(rank=1).build(lambda: nn.Linear(3, 2), m=2, initial=None)
    >>> sum(p.numel() for p in space.parameters())  # 3 · 2 + 2 of the network, 2 · 1 · (3 + 2) of the adapters
    18
    >>> {name: tuple(weight.shape) for name, weight in space.weights(torch.tensor([0.5, 0.5])).items()}
    {'weight': (2, 3), 'bias': (2,)}
    """

    rank: int = option(4, ge=1, le=4096, help="rank r of each adapter")
    alpha: float = option(
        1.0, gt=0, help="scale α of the adapters: they are multiplied by α/r; sets the width of the front"
    )
    conv: Form = option(
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
        self.adapted = adapted_weights(network, rank, form)
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

        B (o, q) and A (q, c) are for all preferences, or (r, o, q) and (r, q, c) each; f is constant to the gradient.
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
        """The shared network's parameters; from the registry, since a list looks up each name, which takes a while."""
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


class LowRankSpace(AdapterSpace):
    """θ(λ) = θ0 plus, for every adapted weight, (α/r) Σ_t λ_t B_t A_t.

    Storage: the factors of all m objectives of one layer are stacked, A (m·q, c) and B (o, m·q) with q the inner
    rank, so that Σ_t λ_t B_t A_t is one matrix product: (B ⊙ [λ ⊗ 1_q]) A.
    """

    def __init__(self, network: nn.Module, m: int, options: LowRank, initial: Mapping[str, Tensor] | None) -> None:
        super().__init__(network, initial, options.rank, options.conv, options.alpha / options.rank)
        self.m = m
        self.lr_factor = float(m) if options.lr_factor is None else options.lr_factor
        self.freeze_after, self.orthogonal = options.freeze_after, options.orthogonal
        start, self.a, self.b = self._by_name(), nn.ParameterList(), nn.ParameterList()
        for adapted in self.adapted:
            like = start[adapted.name].detach()
            self.a.append(kaiming(like, m, adapted.inner, adapted.columns))
            self.b.append(nn.Parameter(like.new_zeros(adapted.rows, m * adapted.inner)))

    @property
    def factors(self) -> dict[str, nn.ParameterList]:
        return {"adapter_a": self.a, "adapter_b": self.b}

    def adapters(self, preferences: Tensor) -> Iterator[tuple[Adapter, Tensor, Tensor, Tensor, Tensor]]:
        """See `AdapterSpace.adapters`."""
        shared = self._by_name()
        known: dict[Any, Tensor] = {}
        values = self.a._parameters.values(), self.b._parameters.values()
        for adapter, a, b in zip(self.adapted, *cast(Any, values), strict=True):
            yield adapter, shared[adapter.name], b, a, self.by_preference(preferences, adapter.inner, b, known)

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
        space = copy.copy(self)  # everything else is small, and the same
        space.__dict__.update(_parameters={}, _buffers={}, _modules={})
        space._names = [self._names[i] for i in kept]
        space._trained = [self._trained[i] for i in kept]
        space.adapted = [self.adapted[k] for k in adapted]
        space.shared = nn.ParameterList(copied(self.shared[i]) for i in kept)
        space.a, space.b = (nn.ParameterList(copied(all_[k]) for k in adapted) for all_ in (self.a, self.b))
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
        if self.freeze_after is not None:
            for parameter, trained in zip(self.shared, self._trained, strict=True):
                parameter.requires_grad_(trained and progress <= self.freeze_after)
