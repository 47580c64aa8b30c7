"""`vlmop2`: two bells of any number of variables, the problem of Fonseca and Fleming. Needs no data."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moframework.config import config, option
from moframework.problem.analytic import AnalyticProblem

__all__ = ["VLMOP2"]


@config
class VLMOP2(AnalyticProblem):
    """VLMOP2, also Fonseca's problem: a concave front between two bells, flat far from them.

    `f_1 = 1 − exp(−Σ (x_i − 1/√n)²), f_2 = 1 − exp(−Σ (x_i + 1/√n)²)`, x in [−4, 4]^n; the m = 2 toy of many papers on
    Pareto front learning. **Source.** Fonseca, Fleming, Evolutionary Computation 3(1), 1995; Van Veldhuizen, 1999.

    **Pareto set** all x_i equal, in [−1/√n, 1/√n]. **Front** with u = √n·x_i from 1 to −1:
    f_1 = 1 − exp(−(u − 1)²), f_2 = 1 − exp(−(u + 1)²). **Nadir** 1 − e^−4. **Reference point** (1.1, 1.1), beyond every
    value of either function.

    **Hypervolume.** Below (1, 1) it is the area under b(a) with a = 1 − f_1, b = 1 − f_2: e^−4 up to a = e^−4, and from
    there `∫ b(u)·a'(u) du = ∫ 2(1 − u)·exp(−2u² − 2) du` over [−1, 1], in all `e^−4 + e^−2·√(2π)·erf(√2)`. Below r it
    is r_1·r_2 minus the rest of the unit square.
    """

    variables: int = option(2, ge=1, le=1_000_000, help="number n of variables")

    @property
    def n(self) -> int:
        """`variables`."""
        return self.variables

    @property
    def m(self) -> int:
        """2."""
        return 2

    @property
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """[−4, 4]."""
        return (-4.0,), (4.0,)

    @property
    def reference(self) -> tuple[float, ...]:
        """(1.1, 1.1)."""
        return (1.1, 1.1)

    @property
    def nadir(self) -> tuple[float, ...]:
        """1 − e^−4 for both."""
        return (1 - math.exp(-4),) * 2

    def evaluate(self, x: Tensor) -> Tensor:
        """See `AnalyticProblem.evaluate`."""
        center = 1 / math.sqrt(self.n)
        exponents = [((x - center) ** 2).sum(dim=1), ((x + center) ** 2).sum(dim=1)]
        # expm1 keeps digits near the optimum of either
        return -torch.expm1(-torch.stack(exponents, dim=1))

    def front(self, points: int) -> npt.NDArray[np.float64]:
        """Even steps of x."""
        u = np.linspace(1, -1, points)
        return -np.expm1(-np.stack([(u - 1) ** 2, (u + 1) ** 2], axis=1))

    def volume(self, reference: Sequence[float]) -> float:
        """See the class."""
        unit = math.exp(-4) + math.exp(-2) * math.sqrt(2 * math.pi) * math.erf(math.sqrt(2))
        return reference[0] * reference[1] - (1 - unit)
