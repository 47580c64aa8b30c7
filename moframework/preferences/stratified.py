"""Random preferences, one from each of as many equal strata as there are preferences."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Generator, Tensor

from moframework.config import config, option
from moframework.preferences.base import Schedule, check_draw

__all__ = ["Stratified"]


@config
class Stratified(Schedule):
    """Random directions spread evenly by strata: for two tasks one angle from each of `count` equal parts of the
    quarter circle, as in PHN-HVI.

    Two tasks: `λ ∝ (cos θ, sin θ)` with θ uniform in its part of [margin, π/2 − margin]. Source: Hoang, Le, Anh Tuan,
    Thang, AAAI 2023, arXiv 2212.01130, and the released code, which has 16 preferences and a margin of 0.1. (That code
    also stretches each preference at random; on the simplex that has no meaning.)

    More tasks, where nothing general is published: λ ∝ u with u uniform on the positive part of the unit sphere, of
    which two tasks are the special case. Squares of u come from stick-breaking, `Beta(1/2, k/2)` with k from m−1 to 1,
    by inverse distribution functions, each at numbers that form a Latin hypercube: one in each of `count` equal parts
    of [margin·2/π, 1 − margin·2/π]. The share of one task is thus stratified as for two, given it that of the next,
    and so on; which task comes first is drawn anew each time. With margin 0 each row alone is uniform on the sphere.

    >>> drawn = Stratified().draw(0.5, 4, 2, Generator().manual_seed(0))
    >>> angles = torch.atan2(drawn[:, 1], drawn[:, 0])
    >>> sorted((angles / (math.pi / 2) * 4).int().tolist())  # one in each quarter of the quarter circle
    [0, 1, 2, 3]
    """

    margin: float = option(
        0.0, ge=0, lt=math.pi / 4, help="angle in radians that is left out at either end of the quarter circle"
    )

    def natural_count(self, m: int) -> int:
        """5; for one task 1."""
        return 1 if m == 1 else 5

    def draw(self, progress: float, count: int, m: int, generator: Generator) -> Tensor:
        """See `Schedule.draw`. The progress has no influence.

        >>> rows = Stratified().draw(0.5, 4, 2, torch.Generator().manual_seed(0))
        >>> angles = torch.atan2(rows[:, 1], rows[:, 0]) / (torch.pi / 2)
        >>> sorted((4 * angles).int().tolist())
        [0, 1, 2, 3]
        """
        check_draw(progress, count, m)
        if m == 1:
            return torch.ones(count, 1)
        from scipy.special import betaincinv  # a fifth of a second, paid by those who draw

        # Column by column one number in each stratum, in a random order of strata: a Latin hypercube.
        strata = torch.stack([torch.randperm(count, generator=generator) for _ in range(m - 1)], dim=1)
        uniform = (strata + torch.rand((count, m - 1), generator=generator, dtype=torch.float64)) / count
        least = self.margin / (math.pi / 2)
        quantiles = (least + (1 - 2 * least) * uniform).numpy()
        shares = torch.from_numpy(betaincinv(0.5, np.arange(m - 1, 0, -1) / 2, quantiles))
        rest = torch.cumprod(1 - shares, dim=1)
        squares = torch.cat([shares[:, :1], shares[:, 1:] * rest[:, :-1], rest[:, -1:]], dim=1)
        directions = squares.clamp_min(0).sqrt()[:, torch.randperm(m, generator=generator)]
        return (directions / directions.sum(dim=1, keepdim=True)).float()
