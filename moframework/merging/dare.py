"""DARE: entries dropped at random, the rest enlarged."""

from __future__ import annotations

from typing import Literal

from torch import Generator, Tensor

from moframework.config import config, option
from moframework.merging.base import Merge
from moframework.merging.kernels import agreeing, drop, elected_signs

__all__ = ["DARE"]


@config
class DARE(Merge):
    """Task vectors with a random share of their entries, enlarged to keep the expectation (Yu et al., ICML 2024).

    `τ̃_t = m_t ⊙ τ_t / (1 − p)`, m_t ~ Bernoulli(1 − p), then `Σ_t λ_t τ̃_t`, or TIES' election of signs.

    Source: arXiv 2311.03099, where p is .9 for large language models. Limits: small networks have fewer
    entries to spare; p = .5 is our default.

    >>> import torch
    >>> kept = DARE(drop=0.75).edited(torch.ones(2, 100))
    >>> sorted(set(kept.flatten().tolist()))  # dropped, or divided by 1 − p
    [0.0, 4.0]
    """

    drop: float = option(0.5, ge=0, lt=1, help="probability p that an entry is dropped")
    signs: Literal["all", "elected"] = option(
        "all", help="all: the weighted sum; elected: of the entries that agree with elected signs, as TIES does"
    )
    seed: int = option(0, ge=0, help="of what is dropped")

    def edited(self, vectors: Tensor) -> Tensor:
        """The vectors with dropped entries; the same on every device."""
        return drop(vectors.cpu(), self.drop, Generator().manual_seed(self.seed)).to(vectors.device)

    def combined(self, vectors: Tensor, weights: Tensor) -> Tensor:
        """All entries, or those that agree."""
        if self.signs == "all":
            return weights @ vectors
        return agreeing(vectors, weights, elected_signs(vectors, weights))
