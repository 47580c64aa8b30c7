"""A shared trained network plus one Kronecker-product adapter per objective: LoKr.

    W(λ) = W0 + (α/r) · Σ_t λ_t C_t ⊗ (B_t A_t)                 (KronA, arXiv 2212.10650; LyCORIS, as PEFT has it)

C (o₁ × i₁), B (o₂ × r) and A (r × i₂·k·k), where out = o₁·o₂ and in = i₁·i₂, the first the largest divisor up to the
root.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch
from attrs import evolve
from torch import Tensor, nn

from moframework.config import config, option
from moframework.weights.adapted import Adapter, kaiming
from moframework.weights.base import WeightSpace, WeightSpaceConfig
from moframework.weights.low_rank import AdapterSpace
from moframework.weights.starting import listed

__all__ = ["LoKr", "LoKrSpace", "divisors"]


@config
class LoKr(WeightSpaceConfig):
    """Adapters that are Kronecker products of a small matrix and a low-rank one (Edalati et al.: KronA, arXiv
    2212.10650; Yeh et al.: LyCORIS, ICLR 2024, arXiv 2309.14859), one a task as in PaLoRA.

    The smallest of the adapters: a matrix of out × in numbers costs about √(out·in) + r·(√out + √in) a task; a weight
    whose sizes are prime gets a low-rank adapter times a number. C is zero at the start, A and B are drawn
    kaiming-uniform with a = √5, as PEFT has it, which takes a full matrix for B A where r is half its larger side or
    more; here r is at most its smaller side. `decompose_both` and `use_effective_conv2d` are left out.

    >>> space = LoKr(rank=1).build(lambda: nn.Linear(4, 4), m=2, initial=None)
    >>> sum(p.numel() for p in space.parameters())  # 4 · 4 + 4 of the network, 2 · (2 · 2 + 1 · (2 + 2)) more
    36
    """

    rank: int = option(4, ge=1, le=4096, help="rank r of the second factor")
    alpha: float = option(1.0, gt=0, help="scale α of the adapters: they are multiplied by α/r")
    lr_factor: float | None = option(
        None, gt=0, help="learning rate of the adapters over that of the shared network; none means m, as of low_rank"
    )

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """The space around one network made by `make`, or around `initial`."""
        return LoKrSpace(make(), m, self, initial)


class LoKrSpace(AdapterSpace):
    """θ(λ) = θ0 plus, for every adapted weight, (α/r) Σ_t λ_t C_t ⊗ (B_t A_t).

    Storage: c (o₁·i₁, m), b (m, o₂, r) and a (m, r, i₂·k·k). With W as (o₁·i₁, o₂·i₂·k·k) the sum of Kronecker products
    is one product of matrices: its columns are the C_t, its rows the B_t A_t.
    """

    by_task = False  # W0 is not in its own shape

    def __init__(self, network: nn.Module, m: int, options: LoKr, initial: Mapping[str, Tensor] | None) -> None:
        super().__init__(network, initial, options.rank, "peft", options.alpha / options.rank)
        self.lr_factor = float(m) if options.lr_factor is None else options.lr_factor
        start = self._by_name()
        self.a, self.b, self.c = (nn.ParameterList() for _ in range(3))
        adapted = []
        for each in self.adapted:
            like = start[each.name].detach()
            (o, across), (i, inner) = divisors(each.shape[0]), divisors(each.shape[1])
            columns = inner * math.prod(each.shape[2:])
            r = min(options.rank, across, columns)
            self.b.append(nn.Parameter(kaiming(like, m, across, r).detach().view(m, across, r)))
            self.a.append(nn.Parameter(kaiming(like, m, r, columns).detach().view(m, r, columns)))
            self.c.append(nn.Parameter(like.new_zeros(o * i, m)))
            order = (0, 2, 1, *range(3, len(each.shape) + 2))
            adapted.append(evolve(each, inner=1, rows=o * i, columns=across * columns, order=order, applies=False))
        self.adapted = adapted

    @property
    def factors(self) -> dict[str, nn.ParameterList]:
        return {"adapter_a": self.a, "adapter_b": self.b, "adapter_c": self.c}

    def adapters(self, preferences: Tensor) -> Iterator[tuple[Adapter, Tensor, Tensor, Tensor, Tensor]]:
        """See `AdapterSpace.adapters`; W0 is (o₁, o₂, i₁, i₂, …)."""
        shared = self._by_name()
        known: dict[Any, Tensor] = {}
        lists = listed(self.a), listed(self.b), listed(self.c)
        for each, a, b, c in zip(self.adapted, *cast(Any, lists), strict=True):
            base = torch.unflatten(shared[each.name], 1, divisors(each.shape[1]))
            base = torch.unflatten(base, 0, divisors(each.shape[0]))
            yield each, base, c, torch.bmm(b, a).flatten(1), self.by_preference(preferences, 1, c, known)


def divisors(size: int) -> tuple[int, int]:
    """Two numbers whose product is `size`, the first the largest up to its root.

    >>> divisors(250), divisors(512), divisors(7)
    ((10, 25), (16, 32), (1, 7))
    """
    first = next(d for d in range(math.isqrt(size), 0, -1) if size % d == 0)
    return first, size // first
