"""`zdt1` … `zdt4`, `zdt6`: two functions of many variables, with fronts that are convex, concave, in pieces, or hard to
reach. Needs no data."""

from __future__ import annotations

import functools
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moframework.config import config, option
from moframework.problem.analytic import AnalyticProblem

__all__ = ["ZDT1", "ZDT2", "ZDT3", "ZDT4", "ZDT6"]

Array = npt.NDArray[np.float64]


@config
class _ZDT(AnalyticProblem):
    """What the family shares: f_1 of the first variable, f_2 = g·h(f_1/g), and the true front at g = 1.

    The front is a curve over f_1, so its hypervolume below (r_1, r_2) is `∫ (r_2 − M(f)) df` from the least f_1 to r_1,
    with M(f) the least f_2 of the front up to f_1 = f.
    """

    variables: int = option(30, ge=2, le=1_000_000, help="number n of variables")

    @final
    @property
    def n(self) -> int:
        """`variables`."""
        return self.variables

    @final
    @property
    def m(self) -> int:
        """2."""
        return 2

    @property
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """[0, 1]."""
        return (0.0,), (1.0,)

    @final
    @property
    def reference(self) -> tuple[float, ...]:
        """(1.1, 1.1): a tenth beyond the largest values on the front, so that its ends count too."""
        return (1.1, 1.1)

    @property
    def nadir(self) -> tuple[float, ...]:
        """(1, 1)."""
        return (1.0, 1.0)

    def front(self, points: int) -> Array:
        """Even steps of f_1."""
        return self.along(np.linspace(0, 1, points))

    @final
    def along(self, f1: Array) -> Array:
        """Points (k, 2) of the curve at f_1 (k,)."""
        return np.stack([f1, self.curve(f1)], axis=1)

    @abstractmethod
    def curve(self, f1: Array) -> Array:
        """f_2 at g = 1."""


@config
class ZDT1(_ZDT):
    """ZDT1: a convex front, `f_2 = 1 − √f_1`.

    `f_1 = x_1, f_2 = g·(1 − √(f_1/g)), g = 1 + 9·mean(x_2, …)`, x in [0, 1]^n. **Source.** Zitzler, Deb, Thiele,
    Evolutionary Computation 8(2), 2000. **Pareto set** x_2 = … = 0. **Reference point** (1.1, 1.1).
    **Hypervolume** r_1·r_2 − ∫₀¹ (1 − √f) df = r_1·r_2 − 1/3.

    >>> ZDT1(variables=2).evaluate(torch.tensor([[0.25, 0.0]]))  # on the front: ¼ and 1 − √¼
    tensor([[0.2500, 0.5000]])
    """

    def evaluate(self, x: Tensor) -> Tensor:
        """See `AnalyticProblem.evaluate`."""
        f1, g = x[:, 0], 1 + 9 * x[:, 1:].mean(dim=1)
        return torch.stack([f1, g * (1 - _power(f1 / g, 0.5))], dim=1)

    def curve(self, f1: Array) -> Array:
        """1 − √f_1."""
        return 1 - np.sqrt(f1)

    def volume(self, reference: Sequence[float]) -> float:
        """See the class."""
        return reference[0] * reference[1] - 1 / 3


@config
class ZDT2(_ZDT):
    """ZDT2: a concave front, `f_2 = 1 − f_1²`, of which linear scalarization finds only the ends.

    `f_1 = x_1, f_2 = g·(1 − (f_1/g)²), g = 1 + 9·mean(x_2, …)`, x in [0, 1]^n. **Source.** Zitzler, Deb, Thiele,
    Evolutionary Computation 8(2), 2000. **Pareto set** x_2 = … = 0. **Reference point** (1.1, 1.1).
    **Hypervolume** r_1·r_2 − ∫₀¹ (1 − f²) df = r_1·r_2 − 2/3.

    >>> ZDT2(variables=2).evaluate(torch.tensor([[0.5, 0.0]]))  # on the front: ½ and 1 − (½)²
    tensor([[0.5000, 0.7500]])
    """

    def evaluate(self, x: Tensor) -> Tensor:
        """See `AnalyticProblem.evaluate`."""
        f1, g = x[:, 0], 1 + 9 * x[:, 1:].mean(dim=1)
        return torch.stack([f1, g * (1 - (f1 / g) ** 2)], dim=1)

    def curve(self, f1: Array) -> Array:
        """1 − f_1²."""
        return 1 - f1**2

    def volume(self, reference: Sequence[float]) -> float:
        """See the class."""
        return reference[0] * reference[1] - 2 / 3


@config
class ZDT3(_ZDT):
    """ZDT3: a front in five pieces, cut out of `f_2 = 1 − √f_1 − f_1·sin(10π f_1)`.

    `f_1 = x_1, f_2 = g·(1 − √(f_1/g) − (f_1/g)·sin(10π f_1)), g = 1 + 9·mean(x_2, …)`, x in [0, 1]^n. **Source.**
    Zitzler, Deb, Thiele, Evolutionary Computation 8(2), 2000. **Reference point** (1.1, 1.1).
    **Pareto set** x_2 = … = 0 and x_1 on one of the pieces. A piece ends where the curve has a new least value, and the
    next starts where the curve comes down to that value again; both are roots, found to rounding.
    **Hypervolume.** Along a piece M is the curve, with
    `∫ F df = f − 2/3·f^(3/2) − sin(10πf)/(100π²) + f·cos(10πf)/(10π)`;
    between two pieces, and after the last, M is the value at the end of the piece before.

    >>> ZDT3(variables=2).evaluate(torch.tensor([[0.25, 0.0]]))  # ¼ and 1 − √¼ − ¼ sin(2.5π)
    tensor([[0.2500, 0.2500]])
    """

    def evaluate(self, x: Tensor) -> Tensor:
        """See `AnalyticProblem.evaluate`."""
        f1, g = x[:, 0], 1 + 9 * x[:, 1:].mean(dim=1)
        ratio = f1 / g
        f2 = g * (1 - _power(ratio, 0.5) - ratio * torch.sin(10 * math.pi * f1))
        return torch.stack([f1, f2], dim=1)

    def curve(self, f1: Array) -> Array:
        """1 − √f_1 − f_1·sin(10π f_1); the front is only its pieces."""
        return 1 - np.sqrt(f1) - f1 * np.sin(10 * np.pi * f1)

    def front(self, points: int) -> Array:
        """A fifth of the points on each piece, in even steps of f_1."""
        pieces = [np.linspace(start, end, max(2, points // 5)) for start, end in _zdt3_pieces()]
        return self.along(np.concatenate(pieces))

    @property
    def nadir(self) -> tuple[float, ...]:
        """(0.8518…, 1)."""
        return (_zdt3_pieces()[-1][1], 1.0)

    def volume(self, reference: Sequence[float]) -> float:
        """See the class."""

        def integral(f: float) -> float:
            turn = 10 * math.pi
            return f - 2 / 3 * f * math.sqrt(f) - math.sin(turn * f) / turn**2 + f * math.cos(turn * f) / turn

        pieces = _zdt3_pieces()
        total = 0.0
        for i, (start, end) in enumerate(pieces):
            following = pieces[i + 1][0] if i + 1 < len(pieces) else reference[0]
            total += integral(end) - integral(start) + (following - end) * _zdt3(end)
        return reference[0] * reference[1] - total


@config
class ZDT4(_ZDT):
    """ZDT4: the front of ZDT1 behind very many local ones, 21^(n−1) in all: a test of search, not of trade-offs.

    `f_1 = x_1, f_2 = g·(1 − √(f_1/g)), g = 1 + 10(n−1) + Σ (x_i² − 10·cos(4π x_i))` over i ≥ 2, x_1 in [0, 1], others
    in [−5, 5]. **Source.** Zitzler, Deb, Thiele, Evolutionary Computation 8(2), 2000. **Pareto set** x_2 = … = 0;
    methods that follow gradients end on a local front. **Reference point** (1.1, 1.1). **Hypervolume** r_1·r_2 − 1/3.

    >>> ZDT4(variables=2).evaluate(torch.tensor([[0.25, 0.0], [0.25, 0.5]]))  # on the front, and where g is 1.25
    tensor([[0.2500, 0.5000],
            [0.2500, 0.6910]])
    """

    variables: int = option(10, ge=2, le=1_000_000, help="number n of variables")

    @property
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """[0, 1], then [−5, 5]."""
        return (0.0, *[-5.0] * (self.n - 1)), (1.0, *[5.0] * (self.n - 1))

    def evaluate(self, x: Tensor) -> Tensor:
        """See `AnalyticProblem.evaluate`."""
        f1, rest = x[:, 0], x[:, 1:]
        g = 1 + (rest**2 + 10 - 10 * torch.cos(4 * math.pi * rest)).sum(dim=1)
        return torch.stack([f1, g * (1 - _power(f1 / g, 0.5))], dim=1)

    def curve(self, f1: Array) -> Array:
        """1 − √f_1."""
        return 1 - np.sqrt(f1)

    def volume(self, reference: Sequence[float]) -> float:
        """See the class."""
        return reference[0] * reference[1] - 1 / 3


@config
class ZDT6(_ZDT):
    """ZDT6: a concave front, `f_2 = 1 − f_1²` from f_1 = 0.2808 on, thinly covered near its start.

    `f_1 = 1 − exp(−4x_1)·sin⁶(6πx_1), f_2 = g·(1 − (f_1/g)²), g = 1 + 9·mean(x_2, …)^(1/4)`, x in [0, 1]^n. **Source.**
    Zitzler, Deb, Thiele, Evolutionary Computation 8(2), 2000. **Pareto set** x_2 = … = 0. **Reference point**
    (1.1, 1.1). **Least f_1.** f_1 is stationary where tan(6πx) = 9π, first at x* = arctan(9π)/(6π), so
    `a = 1 − exp(−4x*)·(τ²/(1 + τ²))³` with τ = 9π. **Hypervolume** (r_1 − a)·r_2 − ∫_a^1 (1 − f²) df.

    The fourth root makes gradients infinite at g = 1; here they are those of a number so small that it is never met.

    >>> ZDT6(variables=2).evaluate(torch.tensor([[0.0, 0.0]]))  # the end of the front
    tensor([[1., 0.]])
    """

    variables: int = option(10, ge=2, le=1_000_000, help="number n of variables")

    def evaluate(self, x: Tensor) -> Tensor:
        """See `AnalyticProblem.evaluate`."""
        first = x[:, 0]
        f1 = 1 - torch.exp(-4 * first) * torch.sin(6 * math.pi * first) ** 6
        g = 1 + 9 * _power(x[:, 1:].mean(dim=1), 0.25)
        return torch.stack([f1, g * (1 - (f1 / g) ** 2)], dim=1)

    def curve(self, f1: Array) -> Array:
        """1 − f_1²."""
        return 1 - f1**2

    def front(self, points: int) -> Array:
        """Even steps of f_1."""
        return self.along(np.linspace(self.least, 1, points))

    @property
    def least(self) -> float:
        """The least f_1, 0.2807753…"""
        tangent = 9 * math.pi
        return 1 - math.exp(-2 / (3 * math.pi) * math.atan(tangent)) * (tangent**2 / (1 + tangent**2)) ** 3

    @property
    def nadir(self) -> tuple[float, ...]:
        """(1, 1 − a²)."""
        return (1.0, 1 - self.least**2)

    def volume(self, reference: Sequence[float]) -> float:
        """See the class."""
        a = self.least
        return (reference[0] - a) * reference[1] - (1 - a - (1 - a**3) / 3)


def _power(base: Tensor, exponent: float) -> Tensor:
    """base^exponent for base ≥ 0, with a finite gradient (of 0) at 0."""
    return base.clamp_min(torch.finfo(base.dtype).tiny).pow(exponent)


def _zdt3(f: float) -> float:
    return 1 - math.sqrt(f) - f * math.sin(10 * math.pi * f)


@functools.cache
def _zdt3_pieces() -> tuple[tuple[float, float], ...]:
    """First and last f_1 of each piece."""
    from scipy.optimize import brentq

    def slope(f: float) -> float:
        turn = 10 * math.pi
        return -0.5 / math.sqrt(f) - math.sin(turn * f) - turn * f * math.cos(turn * f)

    pieces: list[tuple[float, float]] = []
    for k in range(5):
        # The sine is 1 at f = 0.05 + 0.2k and 0 at 0.1 + 0.2k; the least value of its arch lies between.
        end = float(brentq(slope, 0.05 + 0.2 * k, 0.1 + 0.2 * k, xtol=1e-16))
        before = _zdt3(pieces[-1][1]) if pieces else 1.0
        # The curve comes down from the sine's -1 at 0.2k - 0.05.
        start = float(brentq(lambda f: _zdt3(f) - before, 0.2 * k - 0.05, end, xtol=1e-16)) if pieces else 0.0  # noqa: B023
        pieces.append((start, end))
    return tuple(pieces)
