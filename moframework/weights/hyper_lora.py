"""A trained network and one low-rank adapter, whose factors a small network computes from the preference.

    W(λ) = W0 + (α/r) · B(λ) A(λ),      A(λ) = A⁰ + H^A f(λ),  B(λ) = H^B f(λ),  f = MLP(λ)

for every adapted weight. H^A and H^B are zero at the start, A⁰ is drawn kaiming-uniform with a = √5: every λ begins
with the same network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.config.options import WIDEST
from moframework.weights.adapted import Adapter, Form, kaiming
from moframework.weights.base import WeightSpace, WeightSpaceConfig
from moframework.weights.hypernetwork import multi_layer
from moframework.weights.low_rank import AdapterSpace
from moframework.weights.starting import listed

__all__ = ["HyperLoRA", "HyperLoRASpace"]


@config
class HyperLoRA(WeightSpaceConfig):
    """Shared network plus one adapter that a hypernetwork makes of λ (after HyperPALoRA, NeurIPS 2025 workshop,
    openreview VXlm0zf2a5).

    Of that work the abstract was read: a shared backbone that is trained, a hypernetwork from λ to a single adapter.
    Sizes and starts are ours: the MLP is that of PHN. Unlike mixtures of an adapter a task, W is not linear in λ.

    Overhead in parameters: those of one adapter of `low_rank`, times the number of features, and the MLP; LeNet, r = 1
    has 1,715, so 171,500 with 100 features. For large networks `chunk` lets all layers share one head: it computes the
    adapters' numbers in pieces of that size, each with a learned embedding beside λ, as `chunked_hypernetwork` does.

    >>> space = HyperLoRA(rank=1, hidden=(10,)).build(lambda: nn.Linear(3, 2), m=2, initial=None)
    >>> sum(p.numel() for p in space.parameters())  # θ0 8, heads of B(λ) 10 · 2 and A(λ) 10 · 3 + 3, the MLP 30 + 110
    201
    """

    rank: int = option(4, ge=1, le=4096, help="rank r of the adapter")
    alpha: float = option(1.0, gt=0, help="scale α of the adapter: it is multiplied by α/r")
    hidden: tuple[int, ...] = option(
        (100, 100), ge=1, le=WIDEST, help="widths of the hidden layers on λ; the last is also the number of features"
    )
    chunk: int | None = option(
        None,
        ge=1,
        le=2**32,
        help="numbers of the adapters that one shared head computes at once; none: a head for each",
    )
    embedding: int = option(32, ge=1, le=WIDEST, help="length of a piece's learned embedding, with chunk")
    conv: Form = option("loralib", help="form of a convolution's factors, as of low_rank: loralib, peft or separable")
    lr_factor: float = option(1.0, gt=0, help="learning rate of all else over that of the shared network")

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """The space around one network made by `make`, or around `initial`."""
        return HyperLoRASpace(make(), m, self, initial)


class HyperLoRASpace(AdapterSpace):
    """θ(λ) = θ0 plus, for every adapted weight, (α/r) B(λ) A(λ)."""

    by_task = False

    def __init__(self, network: nn.Module, m: int, options: HyperLoRA, initial: Mapping[str, Tensor] | None) -> None:
        super().__init__(network, initial, options.rank, options.conv, options.alpha / options.rank)
        self.lr_factor = options.lr_factor
        start = self._by_name()
        self.a = nn.ParameterList(
            kaiming(start[each.name].detach(), 1, each.inner, each.columns) for each in self.adapted
        )
        shapes = [((each.inner, each.columns), (each.rows, each.inner)) for each in self.adapted]
        self._shapes = [shape for pair in shapes for shape in pair]
        total = sum(map(math.prod, self._shapes))
        chunk = total if options.chunk is None else min(options.chunk, total)
        of_piece = 0 if options.chunk is None else options.embedding
        like = self.a[0]
        self.embeddings = nn.Parameter(torch.randn(math.ceil(total / chunk), of_piece)) if of_piece else None
        self.features = multi_layer(m + of_piece, options.hidden)
        self.head = nn.Parameter(like.new_zeros(options.hidden[-1], chunk))

    @property
    def factors(self) -> dict[str, nn.ParameterList]:
        return {"adapter_a": self.a}

    def embedded(self, preferences: Tensor) -> Tensor:
        """f(λ), of all pieces (r, n·features)."""
        own = preferences.to(self.head.device, self.head.dtype, non_blocking=True)
        if self.embeddings is not None:
            r, pieces = len(own), self.embeddings
            own = torch.cat([own.repeat_interleave(len(pieces), dim=0), pieces.repeat(r, 1)], dim=1)
        return cast(Tensor, self.features(own)).view(len(preferences), -1)

    def adapters(self, preferences: Tensor) -> Iterator[tuple[Adapter, Tensor, Tensor, Tensor, Tensor]]:
        """See `AdapterSpace.adapters`: one product for all factors of all preferences."""
        shared, r = self._by_name(), len(preferences)
        sizes = [math.prod(shape) for shape in self._shapes]
        flat = (self.embedded(preferences).view(-1, len(self.head)) @ self.head).view(r, -1)[:, : sum(sizes)]
        parts = [
            part.view(r, *shape) for part, shape in zip(torch.split(flat, sizes, dim=1), self._shapes, strict=True)
        ]
        known: dict[int, Tensor] = {}
        for k, (adapter, a) in enumerate(zip(self.adapted, cast(Any, listed(self.a)), strict=True)):
            if adapter.inner not in known:
                known[adapter.inner] = flat.new_full((r, adapter.inner), self.scale)
            yield adapter, shared[adapter.name], parts[2 * k + 1], a + parts[2 * k], known[adapter.inner]

    def named_storage(self) -> list[tuple[tuple[str, ...], Tensor]]:
        """See `WeightSpace.named_storage`: what makes adapters of λ as `hypernetwork.…`."""
        first = ("shared.", "a.")
        own = [(f"hypernetwork.{name}", p) for name, p in self.named_parameters() if not name.startswith(first)]
        return [*super().named_storage(), *(((name,), p) for name, p in own)]
