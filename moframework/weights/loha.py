"""A shared trained network plus one Hadamard-product adapter per objective: LoHa.

    W(λ) = W0 + (α/r) · Σ_t λ_t (B_t A_t) ⊙ (D_t C_t)           (FedPara, arXiv 2108.06098, Eq. 2; as PEFT has it)

A, C (r × in) and B, D (out × r); convolutions as matrices (out × in·k·k).
"""

from __future__ import annotations

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

__all__ = ["LoHa", "LoHaSpace"]


@config
class LoHa(WeightSpaceConfig):
    """Adapters that are entrywise products of two low-rank ones (Hyeon-Woo, Ye-Bin, Oh: FedPara, ICLR 2022, arXiv
    2108.06098), one a task as in PaLoRA.

    An adapter has rank up to r² for 2r·(in + out) numbers, twice those of `low_rank`. The product is computed as one of
    inner rank r², of the columns' and rows' products: exact, and fast for small r. A, B and C are drawn kaiming-uniform
    with a = √5, one factor is zero, as PEFT has it; its tensors for kernels (`use_effective_conv2d`) are left out.

    >>> space = LoHa(rank=1).build(lambda: nn.Linear(3, 2), m=2, initial=None)
    >>> sum(p.numel() for p in space.parameters())  # 3 · 2 + 2 of the network, 2 · 2 · 1 · (3 + 2) of the adapters
    28
    """

    rank: int = option(4, ge=1, le=64, help="rank r of each of the two products; the adapter's is up to r²")
    alpha: float = option(1.0, gt=0, help="scale α of the adapters: they are multiplied by α/r")
    lr_factor: float | None = option(
        None, gt=0, help="learning rate of the adapters over that of the shared network; none means m, as of low_rank"
    )

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """The space around one network made by `make`, or around `initial`."""
        return LoHaSpace(make(), m, self, initial)


class LoHaSpace(AdapterSpace):
    """θ(λ) = θ0 plus, for every adapted weight, (α/r) Σ_t λ_t (B_t A_t) ⊙ (D_t C_t).

    Storage: a and c (m, r, columns), b and d (m, rows, r).
    """

    def __init__(self, network: nn.Module, m: int, options: LoHa, initial: Mapping[str, Tensor] | None) -> None:
        super().__init__(network, initial, options.rank, "peft", options.alpha / options.rank)
        self.lr_factor = float(m) if options.lr_factor is None else options.lr_factor
        start, r = self._by_name(), options.rank
        self.a, self.b, self.c, self.d = (nn.ParameterList() for _ in range(4))
        for each in self.adapted:
            like, shapes = start[each.name].detach(), ((each.rows, r), (r, each.columns), (each.rows, r))
            drawn = [nn.Parameter(kaiming(like, m, *shape).detach().view(m, *shape)) for shape in shapes]
            for factors, value in zip((self.b, self.a, self.d), drawn, strict=True):
                factors.append(value)
            self.c.append(nn.Parameter(like.new_zeros(m, r, each.columns)))
        self.adapted = [evolve(each, inner=r * r) for each in self.adapted]

    @property
    def factors(self) -> dict[str, nn.ParameterList]:
        return {"adapter_a": self.a, "adapter_b": self.b, "adapter_c": self.c, "adapter_d": self.d}

    def adapters(self, preferences: Tensor) -> Iterator[tuple[Adapter, Tensor, Tensor, Tensor, Tensor]]:
        """See `AdapterSpace.adapters`: (b_i ⊙ d_j)(a_i ⊙ c_j)ᵀ for all i and j."""
        shared = self._by_name()
        known: dict[Any, Tensor] = {}
        lists = listed(self.a), listed(self.b), listed(self.c), listed(self.d)
        for each, a, b, c, d in zip(self.adapted, *cast(Any, lists), strict=True):
            left = torch.einsum("mop,moq->ompq", b, d).flatten(1)
            right = torch.einsum("mpc,mqc->mpqc", a, c).flatten(0, 2)
            yield each, shared[each.name], left, right, self.by_preference(preferences, each.inner, left, known)
