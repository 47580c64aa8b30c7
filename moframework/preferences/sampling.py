"""Random points on the simplex from a passed generator, in log space so that no concentration is too small.

In numpy, which takes a quarter of the time of torch for a few numbers: a training step draws anew.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

__all__ = ["Array", "log_dirichlet", "log_softmax", "share_emphasis", "simplex"]

Array = NDArray[np.float64]


def log_dirichlet(concentration: float, count: int, m: int, generator: Generator) -> Array:
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
    uniform = torch.rand((2, count, m), generator=generator, dtype=torch.float64).numpy()
    np.maximum(uniform, 2.0**-54, out=uniform)
    larger = gammaincinv(concentration + 1, uniform[0])
    return log_softmax(np.log(larger) + np.log(uniform[1]) / concentration)


def log_softmax(values: Array) -> Array:
    """Logarithms (r, m) of the softmax of each row; −inf stays, where it is not a whole row."""
    shifted: Array = values - values.max(axis=1, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def simplex(logarithms: Array) -> Tensor:
    """The points with those logarithms, float32, as `Schedule.draw` returns them."""
    return torch.from_numpy(np.exp(logarithms).astype(np.float32))


def share_emphasis(points: Array, generator: Generator) -> Array:
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
    rounds = [torch.randperm(m, generator=generator).numpy() for _ in range(-(-r // m))]
    rows, to = np.arange(r), np.concatenate(rounds)[:r]
    largest = points.argmax(axis=1)
    moved = points.copy()
    moved[rows, largest] = points[rows, to]
    moved[rows, to] = points[rows, largest]
    return moved
