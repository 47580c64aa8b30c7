"""`dtlz1` … `dtlz4`: any number of functions, with a flat or a spherical front. Needs no data."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moframework.config import config, option
from moframework.problem.analytic import AnalyticProblem, simplex_points

__all__ = ["DTLZ1", "DTLZ2", "DTLZ3", "DTLZ4"]

Array = npt.NDArray[np.float64]


@config
class _DTLZ(AnalyticProblem):
    """What the family shares: m − 1 variables that choose the place on the front, k that measure the distance from it,
    all in [0, 1]."""

    objectives: int = option(3, ge=2, le=100, help="number m of functions")

    @property
    @abstractmethod
    def distance(self) -> int:
        """Number k of the variables that measure the distance."""

    @final
    @property
    def m(self) -> int:
        """`objectives`."""
        return self.objectives

    @final
    @property
    def n(self) -> int:
        """m − 1 + k."""
        return self.objectives - 1 + self.distance

    @final
    @property
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """[0, 1]."""
        return (0.0,), (1.0,)


@config
class _Spherical(_DTLZ):
    """Those whose front is the part of the unit sphere where no function is negative."""

    k: int = option(10, ge=1, le=1_000_000, help="number of variables that measure the distance from the front")

    @final
    @property
    def distance(self) -> int:
        """`k`."""
        return self.k

    @final
    @property
    def reference(self) -> tuple[float, ...]:
        """1.1 for each function: a tenth beyond the largest values on the front, so that its border counts too."""
        return (1.1,) * self.m

    @final
    @property
    def nadir(self) -> tuple[float, ...]:
        """1 for each function."""
        return (1.0,) * self.m

    @final
    def front(self, points: int) -> Array:
        """Directions of well-spread points of the simplex; for two functions even steps of the angle."""
        if self.m == 2:
            angle = np.linspace(0, np.pi / 2, points)
            return np.stack([np.cos(angle), np.sin(angle)], axis=1)
        directions = simplex_points(points, self.m)
        scaled: Array = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        return scaled

    @final
    def volume(self, reference: Sequence[float]) -> float:
        """Π r_t minus the part of the unit ball where no coordinate is negative, (√π/2)^m / Γ(m/2 + 1)."""
        return math.prod(reference) - (math.sqrt(math.pi) / 2) ** self.m / math.gamma(self.m / 2 + 1)


@config
class DTLZ1(_DTLZ):
    """DTLZ1: the flat front Σ f_t = 1/2 behind very many local ones, 11^k in all.

    `f_1 = ½·x_1⋯x_{m−1}·(1 + g), f_t = ½·x_1⋯x_{m−t}·(1 − x_{m−t+1})·(1 + g)`,
    `g = 100·(k + Σ ((x_i − ½)² − cos(20π(x_i − ½))))` over the last k variables, x in [0, 1]^n. **Source.** Deb,
    Thiele, Laumanns, Zitzler, CEC 2002. **Pareto set** the last k variables ½; methods that follow gradients end on a
    local front. **Reference point** 0.55 for each function: a tenth beyond the largest values on the front.
    **Hypervolume** Π r_t − (½)^m / m!: all of the box but the corner under the front, a simplex.

    >>> DTLZ1(k=1).evaluate(torch.tensor([[0.5, 0.5, 0.5]]))  # on the front: a sum of ½
    tensor([[0.1250, 0.1250, 0.2500]])
    """

    k: int = option(5, ge=1, le=1_000_000, help="number of variables that measure the distance from the front")

    @property
    def distance(self) -> int:
        """`k`."""
        return self.k

    def evaluate(self, x: Tensor) -> Tensor:
        """See `AnalyticProblem.evaluate`."""
        place, rest = x[:, : self.m - 1], x[:, self.m - 1 :]
        return 0.5 * (1 + _rugged(rest))[:, None] * _nested(place, 1 - place)

    @property
    def reference(self) -> tuple[float, ...]:
        """0.55 for each function."""
        return (0.55,) * self.m

    @property
    def nadir(self) -> tuple[float, ...]:
        """0.5 for each function."""
        return (0.5,) * self.m

    def front(self, points: int) -> Array:
        """Half of well-spread points of the simplex."""
        return simplex_points(points, self.m) / 2

    def volume(self, reference: Sequence[float]) -> float:
        """See the class."""
        return math.prod(reference) - 0.5**self.m / math.factorial(self.m)


@config
class DTLZ2(_Spherical):
    """DTLZ2: a concave, spherical front, easy to reach; linear scalarization finds only its corners.

    `f_1 = cos(½π x_1)⋯cos(½π x_{m−1})·(1 + g), f_t = cos(½π x_1)⋯cos(½π x_{m−t})·sin(½π x_{m−t+1})·(1 + g)`,
    `g = Σ (x_i − ½)²` over the last k variables, x in [0, 1]^n. **Source.** Deb, Thiele, Laumanns, Zitzler, CEC 2002.
    **Pareto set** the last k variables ½. **Front** Σ f_t² = 1. **Reference point** 1.1 for each function.
    **Hypervolume** Π r_t − (√π/2)^m / Γ(m/2 + 1): all of the box but a part of the unit ball.

    >>> DTLZ2(objectives=2, k=1).evaluate(torch.tensor([[1 / 3, 0.5]]))  # on the front: cos 30° and sin 30°
    tensor([[0.8660, 0.5000]])
    """

    def evaluate(self, x: Tensor) -> Tensor:
        """See `AnalyticProblem.evaluate`."""
        return _sphere(x[:, : self.m - 1], _smooth(x[:, self.m - 1 :]))


@config
class DTLZ3(_Spherical):
    """DTLZ3: the front of DTLZ2 behind very many local ones, 3^k in all.

    As DTLZ2, with the g of DTLZ1. **Source.** Deb, Thiele, Laumanns, Zitzler, CEC 2002. Methods that follow gradients
    end on a local front.

    >>> DTLZ3(objectives=2, k=1).evaluate(torch.tensor([[1 / 3, 0.5], [1 / 3, 0.6]])).round(decimals=4)  # g is 0, and 1
    tensor([[0.8660, 0.5000],
            [1.7320, 1.0000]])
    """

    def evaluate(self, x: Tensor) -> Tensor:
        """See `AnalyticProblem.evaluate`."""
        return _sphere(x[:, : self.m - 1], _rugged(x[:, self.m - 1 :]))


@config
class DTLZ4(_Spherical):
    """DTLZ4: the front of DTLZ2 with nearly all of the box mapped to its border.

    As DTLZ2, with x^α in place of each x that chooses the place on the front. **Source.** Deb, Thiele, Laumanns,
    Zitzler, CEC 2002. With α = 100 gradients by those variables vanish unless they are near 1.

    >>> DTLZ4(objectives=2, k=1).evaluate(torch.tensor([[0.9, 0.5]])).round(decimals=4)  # 0.9¹⁰⁰ is nearly 0
    tensor([[1., 0.]])
    """

    alpha: float = option(100.0, gt=0, help="power α of the variables that choose the place on the front")

    def evaluate(self, x: Tensor) -> Tensor:
        """See `AnalyticProblem.evaluate`."""
        return _sphere(x[:, : self.m - 1] ** self.alpha, _smooth(x[:, self.m - 1 :]))


def _smooth(rest: Tensor) -> Tensor:
    return ((rest - 0.5) ** 2).sum(dim=1)


def _rugged(rest: Tensor) -> Tensor:
    """100·Σ (1 + (x − ½)² − cos(20π(x − ½))), (b,)."""
    centered = rest - 0.5
    return 100 * (1 + centered**2 - torch.cos(20 * math.pi * centered)).sum(dim=1)


def _sphere(place: Tensor, g: Tensor) -> Tensor:
    angles = place * (math.pi / 2)
    return (1 + g)[:, None] * _nested(torch.cos(angles), torch.sin(angles))


def _nested(factors: Tensor, last: Tensor) -> Tensor:
    """a_1⋯a_{m−1}, then a_1⋯a_{m−t}·b_{m−t+1} for t = 2 … m, of a and b (b, m − 1): (b, m)."""
    products = [torch.ones_like(factors[:, 0])]
    for column in factors.unbind(dim=1):
        products.append(products[-1] * column)
    # products[i] is the product of the first i factors
    ends = [products[i] * last[:, i] for i in reversed(range(last.shape[1]))]
    return torch.stack([products[-1], *ends], dim=1)
