"""`re21`: a truss of four bars, its volume against the displacement of its joint. Needs no data."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moframework.config import config
from moframework.problem.analytic import AnalyticProblem

__all__ = ["RE21"]

Array = npt.NDArray[np.float64]

_FORCE, _MODULUS, _LENGTH, _STRESS = 10.0, 2e5, 200.0, 10.0
_ROOT = math.sqrt(2)
_LEAST = _FORCE / _STRESS
_SCALE = _FORCE * _LENGTH / _MODULUS
_LOWER = (_LEAST, _ROOT * _LEAST, _ROOT * _LEAST, _LEAST)
_UPPER = (3 * _LEAST,) * 4
_VOLUME, _BENDING = np.array([2.0, _ROOT, 1.0]), np.array([2.0, 2 * _ROOT, 2.0])  # of x_1, x_2, x_4
_FREE = (0, 1, 3)


@config
class RE21(AnalyticProblem):
    """RE21, the four-bar truss design problem: a convex front of objectives that differ by five orders of magnitude.

    `f_1 = L (2x_1 + √2 x_2 + √x_3 + x_4)` (volume), `f_2 = FL/E (2/x_1 + 2√2/x_2 − 2√2/x_3 + 2/x_4)` (displacement),
    x_1 and x_4 in [F/σ, 3F/σ], x_2 and x_3 in [√2 F/σ, 3F/σ], with F = 10, E = 2e5, L = 200, σ = 10.
    **Source.** Tanabe, Ishibuchi, Applied Soft Computing 89, 2020, after Cheng, Li, Engineering Optimization 31(5),
    1999.

    **Pareto set.** Both grow with x_3, so it is √2 F/σ. In the others both are sums of convex functions of one variable
    each; with weight 1/s² on f_1, `x_i = s·√(c_i/a_i)` cut to its bounds, a_i and c_i the factors in f_1 and f_2.
    **Nadir** f_1 where f_2 is least and the other way round: (2886.37, 0.04). **Reference point** 1.1 times the nadir.
    **Hypervolume** r_1·r_2 minus the area under the front: between values of s at which a bound is met,
    f_1 = A s + B and f_2 = C/s + D, so that `∫ f_2 df_1 = A (C ln s + D s)`.

    >>> volume, displacement = RE21().evaluate(torch.tensor([[2.0, 2.0, 2**0.5, 2.0]]))[0].tolist()
    >>> round(volume, 1), round(displacement, 6)  # the second is 0.01 (1 + √2 − 2 + 1)
    (2003.5, 0.014142)
    """

    @property
    def n(self) -> int:
        """4."""
        return 4

    @property
    def m(self) -> int:
        """2."""
        return 2

    @property
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """See the class."""
        return _LOWER, _UPPER

    def evaluate(self, x: Tensor) -> Tensor:
        """See `AnalyticProblem.evaluate`."""
        x1, x2, x3, x4 = x.unbind(dim=1)
        volume = _LENGTH * (2 * x1 + _ROOT * x2 + x3.sqrt() + x4)
        bending = _SCALE * (2 / x1 + 2 * _ROOT / x2 - 2 * _ROOT / x3 + 2 / x4)
        return torch.stack([volume, bending], dim=1)

    @property
    def reference(self) -> tuple[float, ...]:
        """1.1 times the nadir."""
        return tuple(1.1 * value for value in self.nadir)

    @property
    def nadir(self) -> tuple[float, ...]:
        """(2886.369…, 0.04)."""
        points = _values(_breaks()[[0, -1]])
        return float(points[1, 0]), float(points[0, 1])

    def front(self, points: int) -> Array:
        """Even steps of s."""
        breaks = _breaks()
        return _values(np.linspace(breaks[0], breaks[-1], points))

    def volume(self, reference: Sequence[float]) -> float:
        """See the class."""
        breaks, area = _breaks(), 0.0
        for start, end in itertools.pairwise(breaks):
            (low_1, low_2), (high_1, high_2) = _values(np.array([start, end]))
            slope = (high_1 - low_1) / (end - start)
            pull = (low_2 - high_2) / (1 / start - 1 / end)
            rest = low_2 - pull / start
            area += slope * (pull * math.log(end / start) + rest * (end - start))
        (first_1, _), (last_1, last_2) = _values(breaks[[0, -1]])
        total: float = (reference[0] - first_1) * reference[1] - area - (reference[0] - last_1) * last_2
        return float(total)


def _breaks() -> Array:
    """The values of s at which a variable meets one of its bounds, from where the first leaves its least value to where
    the last comes to its largest."""
    ratio = np.sqrt(_BENDING / _VOLUME)
    low, high = (np.array([bound[i] for i in _FREE]) / ratio for bound in (_LOWER, _UPPER))
    return np.unique(np.concatenate([low, high]))


def _values(s: Array) -> Array:
    """Points (k, 2) of the front at values of s (k,)."""
    lower, upper = (np.array([bound[i] for i in _FREE]) for bound in (_LOWER, _UPPER))
    x = np.clip(s[:, None] * np.sqrt(_BENDING / _VOLUME), lower, upper)
    volume = _LENGTH * (x @ _VOLUME + math.sqrt(_LOWER[2]))
    bending = _SCALE * ((_BENDING / x).sum(axis=1) - 2 * _ROOT / _LOWER[2])
    return np.stack([volume, bending], axis=1)
