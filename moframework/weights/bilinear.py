"""Low-rank adapters whose factors all tasks share, with a small core between them that depends on λ.

    W(λ) = W0 + (α/r) · B C(λ) A,       C(λ) = Σ_t λ_t C_t

A (r × in) and B (out × r) are one pair for all tasks; a further task costs r² numbers where a further adapter costs
r·(in + out). Since the entries of λ sum to 1, what all λ have in common is part of the C_t too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.weights.adapted import Adapter, Form, kaiming
from moframework.weights.base import WeightSpace, WeightSpaceConfig
from moframework.weights.low_rank import AdapterSpace
from moframework.weights.starting import listed

__all__ = ["Bilinear", "BilinearSpace"]


@config
class Bilinear(WeightSpaceConfig):
    """Shared network plus adapters with a core: `W0 + (α/r) (B C(λ) A + B₁ C₁ A₁)`.

    `core: full` has a matrix C_t (r, r) for each task: PBLoRA (Lin et al., ICML 2025, released code), whose W2
    the C_t are, and C₁ its W1; and Pareto Merging (Chen and Kwok, ICML 2025, arXiv 2408.12105), whose core tensor the
    C_t are slices of. Overhead of a matrix: r·(in + out) + m·r². `core: diagonal` has r columns for each task, and
    `C(λ) = s·diag(λ ⊗ 1_r)` with one learned number s a weight (Panacea, NeurIPS 2024, arXiv 2402.02030, which has
    r = 1): at s = 1, where it starts, the same as `low_rank`. Convolutions have the forms and inner ranks q of
    `low_rank`; the core is q × q there.

    A is drawn kaiming-uniform with a = √5, as are the cores; B is zero, so that at the start every λ gives the same
    network, and C_t is not, without which nothing would move.

    >>> space = Bilinear(rank=1).build(lambda: nn.Linear(3, 2), m=2, initial=None)
    >>> sum(p.numel() for p in space.parameters())  # 3 · 2 + 2 of the network, 1 · (3 + 2) + 2 · 1² of the adapter
    15
    """

    rank: int = option(4, ge=1, le=4096, help="inner rank r of what depends on λ; with a diagonal core, of each task")
    alpha: float = option(8.0, gt=0, help="scale α of the adapters: they are multiplied by α/r")
    core: Literal["full", "diagonal"] = option("full", help="what is between the factors: a matrix a task, or λ itself")
    free_rank: int = option(
        0, ge=0, le=4096, help="inner rank of a part that is the same for all λ; of use where W0 is not trained"
    )
    train_base: bool = option(True, help="whether W0 and the rest of the network are trained too")
    conv: Form = option("loralib", help="form of a convolution's factors, as of low_rank: loralib, peft or separable")
    lr_factor: float = option(
        1.0, gt=0, help="learning rate of factors and cores over that of the shared network, as in PBLoRA's code"
    )

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """The space around one network made by `make`, or around `initial`."""
        return BilinearSpace(make(), m, self, initial)


class BilinearSpace(AdapterSpace):
    """θ(λ) = θ0 plus, for every adapted weight, (α/r) B C(λ) A.

    Storage: A (p + q, c) and B (o, p + q), of which the first p rows and columns are those that λ does not change. The
    core is C (m, q, q) or s (1,), and of those C₁ (p, p) or σ (p,).
    """

    def __init__(self, network: nn.Module, m: int, options: Bilinear, initial: Mapping[str, Tensor] | None) -> None:
        super().__init__(network, initial, options.rank, options.conv, options.alpha / options.rank)
        self.full, self.lr_factor = options.core == "full", options.lr_factor
        self.by_task = not (self.full or options.free_rank)
        self.a, self.b, self.core, self.free = (nn.ParameterList() for _ in range(4))
        start = self._by_name()
        for adapted in self.adapted:
            like, q = start[adapted.name].detach(), adapted.inner
            p = options.free_rank * (q // options.rank)
            groups = [(1, p)] * (p > 0) + [(1, q) if self.full else (m, q)]
            self.a.append(nn.Parameter(torch.cat([kaiming(like, *each, adapted.columns).detach() for each in groups])))
            self.b.append(nn.Parameter(like.new_zeros(adapted.rows, len(self.a[-1]))))
            self.core.append(_core(like, m, q) if self.full else nn.Parameter(like.new_ones(1)))
            if p:
                free = _core(like, 1, p).detach()[0] if self.full else like.new_empty(p).normal_(std=0.02)
                self.free.append(nn.Parameter(free))
        if not options.train_base:
            self._trained = [False] * len(self._trained)
            self.shared.requires_grad_(False)

    @property
    def factors(self) -> dict[str, nn.ParameterList]:
        own = {"adapter_a": self.a, "adapter_b": self.b, "adapter_core": self.core}
        return {**own, "adapter_free": self.free} if len(self.free) else own

    def adapters(self, preferences: Tensor) -> Iterator[tuple[Adapter, Tensor, Tensor, Tensor, Tensor]]:
        """See `AdapterSpace.adapters`: the cores are merged into A, which is small."""
        shared = self._by_name()
        known: dict[Any, Tensor] = {}
        frees = listed(self.free) if len(self.free) else [None] * len(self.adapted)
        parameters = listed(self.a), listed(self.b), listed(self.core), frees
        for adapter, a, b, core, sigma in zip(self.adapted, *cast(Any, parameters), strict=True):
            p = 0 if sigma is None else len(sigma)
            lower = a[p:] if p else a
            if self.full:
                lower = self._at(preferences, core) @ lower
                factors = lower.new_full((len(preferences), b.shape[1]), self.scale)
            else:
                lower = core * lower
                factors = self.by_preference(preferences, adapter.inner, b, known)
            if sigma is not None:
                upper = sigma @ a[:p] if self.full else sigma.unsqueeze(1) * a[:p]
                lower = torch.cat([upper.expand(*lower.shape[:-2], -1, -1), lower], dim=-2)
                if not self.full:
                    factors = torch.cat([factors.new_full((len(factors), p), self.scale), factors], dim=1)
            yield adapter, shared[adapter.name], b, lower, factors

    def _at(self, preferences: Tensor, core: Tensor) -> Tensor:
        """C(λ) of each preference, (r, q, q)."""
        own = preferences.to(core.device, core.dtype, non_blocking=True)
        return (own @ core.flatten(1)).view(-1, *core.shape[1:])


def _core(like: Tensor, m: int, q: int) -> nn.Parameter:
    """C_t (m, q, q), drawn as the published (m, q²) are: kaiming-uniform with a = √5."""
    core = like.new_empty(m, q * q)
    nn.init.kaiming_uniform_(core, a=math.sqrt(5))
    return nn.Parameter(core.view(m, q, q))
