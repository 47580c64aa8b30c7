"""The annealed schedule of PaLoRA: from the center of the simplex over an even grid to its vertices."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from torch import Generator, Tensor

from moframework.config import config, option
from moframework.preferences.base import Schedule, check_draw
from moframework.preferences.sampling import Array, log_dirichlet, log_softmax, share_emphasis, simplex
from moframework.preferences.simplex import inner_margin, inset, lattice, lattice_partitions

__all__ = ["Annealed"]


@config
class Annealed(Schedule):
    """Preferences that open from the center of the simplex to its vertices as training goes on.

    `λ(t) ∝ base^(Q·t)` entry by entry, with t the progress and Q the temperature: at t → 0 all preferences are the
    center, at t = 1/Q they are the base, later they move on towards the vertices. Source: PaLoRA (Dimitriadis,
    Frossard, Fleuret, ICLR 2025, arXiv 2407.08056) and its released code.

    The base is, kept inside the border by the margin:

    - two tasks: `count` even steps; three tasks: the triangular (Das–Dennis) lattice when one has `count` points (3,
      6, 10, 15, …). Nothing is random, as published;
    - else, where nothing is published: drawn anew each step from a Dirichlet distribution with parameters 2/m, under
      which the share of any half of the tasks is uniform, as it is for two tasks. Tasks take turns in having the
      largest weight, so that each is emphasized equally often however few preferences a step has, one included.

    With margin 0 the border points of a fixed base have zeros that no progress changes: they are on the border from
    the first step.

    >>> schedule = Annealed(temperature=5.0, margin=0.1)
    >>> schedule.draw(0.2, 3, 2, Generator())  # at progress 1/Q the base
    tensor([[0.1000, 0.9000],
            [0.5000, 0.5000],
            [0.9000, 0.1000]])
    >>> schedule.draw(0.4, 3, 2, Generator())  # its squares, scaled to add up to 1
    tensor([[0.0122, 0.9878],
            [0.5000, 0.5000],
            [0.9878, 0.0122]])
    """

    temperature: float = option(
        5.0, gt=0, help="Q: the base is reached at progress 1/Q, the vertices are neared after it"
    )
    end: float = option(1.0, gt=0, le=1, help="progress at which annealing ends: preferences stay as they are then")
    margin: float = option(
        0.01, ge=0, lt=0.3, help="how far the base stays inside the border (beyond three tasks 3/m times that)"
    )

    def natural_count(self, m: int) -> int:
        """5; for three tasks 6, which is a lattice; for one task 1."""
        return {1: 1, 3: 6}.get(m, 5)

    def draw(self, progress: float, count: int, m: int, generator: Generator) -> Tensor:
        """See `Schedule.draw`.

        >>> Annealed().draw(0.2, 3, 2, Generator())
        tensor([[0.0100, 0.9900],
                [0.5000, 0.5000],
                [0.9900, 0.0100]])
        """
        check_draw(progress, count, m)
        exponent = self.temperature * min(progress, self.end)
        return simplex(log_softmax(exponent * self._log_base(count, m, generator)))

    def _log_base(self, count: int, m: int, generator: Generator) -> Array:
        """Logarithms of the base points (count, m); −inf where margin 0 leaves a zero, never in a whole row."""
        fixed = _fixed_log_base(count, m, self.margin)
        if fixed is not None:
            return fixed
        drawn = share_emphasis(log_dirichlet(2 / m, count, m, generator), generator)
        least = inner_margin(self.margin, m)
        if least == 0:
            return drawn
        return np.logaddexp(drawn + math.log1p(-m * least), math.log(least))


@lru_cache(maxsize=16)
def _fixed_log_base(count: int, m: int, margin: float) -> Array | None:
    """Logarithms of the base points where nothing about them is random, or None. Kept: a step asks for them anew."""
    partitions = lattice_partitions(m, count) if m in (2, 3) and count > 1 else None
    return None if partitions is None else inset(lattice(m, partitions), margin).log().numpy()
