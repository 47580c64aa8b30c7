"""Random points on the simplex from a passed generator, in log space so that no concentration is too small."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

__all__ = ["log_dirichlet", "share_emphasis"]


def log_dirichlet(concentration: float, count: int, m: int, generator: Generator) -> Tensor:
    """Logarithms of `count` independent draws from the symmetric Dirichlet distribution.

    A Dirichlet draw is m Gamma(c) variables over their sum; here `log Gamma(c) = log Gamma(c+1) + log(U)/c` with U
    uniform, which neither underflows for small c nor needs rejection: every row takes 2m uniform numbers from the
    generator.

    Args:
        concentration: c, all m parameters; at least 0.001.
        count, m: number of rows and of tasks.
        generator: on the CPU.

    Returns:
        (count, m), float64, at most 0; `exp` of a row sums to 1. No entry is nan or −inf.
    """
    from scipy.special import gammaincinv  # a fifth of a second, paid by those who draw

    # Kept off 0, whose logarithm is infinite, by half the step of the generator's uniform numbers.
    uniform = torch.rand((2, count, m), generator=generator, dtype=torch.float64).clamp_(min=2.0**-54)
    larger = torch.from_numpy(gammaincinv(concentration + 1, uniform[0].numpy()))
    return torch.log_softmax(larger.log() + uniform[1].log() / concentration, dim=1)


def share_emphasis(points: Tensor, generator: Generator) -> Tensor:
    """Exchange two entries of each row so that the places of the rows' largest entries are shared out evenly.

    Tasks take turns in a random order, a new one after each full round: of r rows each task has the largest entry of
    ⌊r/m⌋ or ⌈r/m⌉. Where the columns are exchangeable, as in a symmetric distribution, each row keeps its distribution.

    Args:
        points: (r, m); not changed.
        generator: on the CPU.

    Returns:
        (r, m), the same entries row by row.
    """
    r, m = points.shape
    rounds = [torch.randperm(m, generator=generator) for _ in range(-(-r // m))]
    to = torch.cat(rounds)[:r, None]
    largest = points.argmax(dim=1, keepdim=True)
    moved = points.scatter(1, largest, points.gather(1, to))
    return moved.scatter_(1, to, points.gather(1, largest))
