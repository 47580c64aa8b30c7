"""`vlmop2`: two bells of any number of variables, the problem of Fonseca and Fleming. Needs no data."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.problem.analytic import AnalyticProblem

__all__ = ["VLMOP2"]


@config
class VLMOP2(AnalyticProblem):
    """VLMOP2, also Fonseca's problem: a concave front between two bells, flat far from them.

    `f_1 = 1 − exp(−Σ (x_i − 1/√n)²), f_2 = 1 − exp(−Σ (x_i + 1/√n)²)`, x in [−4, 4]^n; the m = 2 toy of many papers on
    Pareto front learning, of which some take another box: LibMOON has n = 10 in [−1, 1]. **Source.** Fonseca, Fleming,
    Evolutionary Computation 3(1), 1995; Van Veldhuizen, 1999.

    **Pareto set** all x_i equal, in [−1/√n, 1/√n]. **Front** with u = √n·x_i from 1 to −1:
    f_1 = 1 − exp(−(u − 1)²), f_2 = 1 − exp(−(u + 1)²). **Nadir** 1 − e^−4. **Reference point** (1.1, 1.1), beyond every
    value of either function. Both exponents are squared distances, so a box that leaves out a part of that set moves
    its points to the border: u then runs over what is left of [−1, 1], between p and q.

    **Hypervolume** below r, with a = 1 − f_1, b = 1 − f_2: the area under b(a),
    `a(p) b(p) + ∫ b(u)·a'(u) du` with `b·a' = 2(1 − u)·exp(−2u² − 2)`, and what lies beyond 1,
    `(r_1 − 1)(r_2 − 1) + (r_1 − 1) b(p) + (r_2 − 1) a(q)`. From −1 to 1 the area is `e^−4 + e^−2·√(2π)·erf(√2)`.

    >>> VLMOP2().evaluate(torch.full((1, 2), 0.5**0.5))  # u = 1: 0 and 1 − e^−4
    tensor([[0.0000, 0.9817]])
    """

    variables: int = option(2, ge=1, le=1_000_000, help="number n of variables")
    box: tuple[float, float] = option(
        (-4.0, 4.0), key="bounds", help="least and largest value of each variable; published: [−4, 4], LibMOON: [−1, 1]"
    )

    def __attrs_post_init__(self) -> None:
        lower, upper = self.box
        if not (math.isfinite(lower) and math.isfinite(upper) and lower < upper):
            raise OptionError(
                f"bounds must be two finite numbers, the smaller one first, but they are {list(self.box)}", "bounds"
            )

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
        """Those of the option, for all variables."""
        return (self.box[0],), (self.box[1],)

    @property
    def reference(self) -> tuple[float, ...]:
        """(1.1, 1.1)."""
        return (1.1, 1.1)

    @property
    def nadir(self) -> tuple[float, ...]:
        """f_1 and f_2 at the other function's end of the front; 1 − e^−4 for both where the box leaves nothing out."""
        p, q = self._ends
        return -math.expm1(-((p - 1) ** 2)), -math.expm1(-((q + 1) ** 2))

    @property
    def _ends(self) -> tuple[float, float]:
        """Where u begins and ends."""
        lower, upper = (min(1.0, max(-1.0, math.sqrt(self.n) * end)) for end in self.box)
        return lower, upper

    def evaluate(self, x: Tensor) -> Tensor:
        """See `AnalyticProblem.evaluate`."""
        center = 1 / math.sqrt(self.n)
        exponents = torch.stack([((x - center) ** 2).sum(dim=1), ((x + center) ** 2).sum(dim=1)], dim=1)
        # expm1 keeps digits near the optimum of either, exp those of gradients far from both: 1 + expm1 is 0 there
        return torch.where(exponents < 0.5, -torch.expm1(-exponents), 1 - torch.exp(-exponents))

    def front(self, points: int) -> npt.NDArray[np.float64]:
        """Even steps of x."""
        p, q = self._ends
        u = np.linspace(q, p, points)
        return -np.expm1(-np.stack([(u - 1) ** 2, (u + 1) ** 2], axis=1))

    def volume(self, reference: Sequence[float]) -> float:
        """See the class."""
        p, q = self._ends
        (a_p, b_p), a_q = (math.exp(-((p - s) ** 2)) for s in (1, -1)), math.exp(-((q - 1) ** 2))
        root = math.sqrt(2)
        bell = math.sqrt(math.pi / 2) * (math.erf(root * q) - math.erf(root * p))
        under = a_p * b_p + math.exp(-2) * (bell + (math.exp(-2 * q**2) - math.exp(-2 * p**2)) / 2)
        first, second = (value - 1 for value in reference)
        return under + first * second + first * b_p + second * a_q
