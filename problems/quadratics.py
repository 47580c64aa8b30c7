"""`quadratics`: convex quadratics, one for each of any number of tasks, with everything known in closed form. Needs no
data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.problem.analytic import AnalyticProblem, simplex_points

__all__ = ["Quadratics"]


@config
class Quadratics(AnalyticProblem):
    """Squared distances from m points, `f_t(x) = ½·‖A(x − c_t)‖²`: convex, and the front known for every m.

    A is diagonal with entries from 1 to √condition in geometric steps, and A·c_t = e_t, the t-th unit vector: so x has
    no bounds, and the m points form a regular simplex in the variables z = Ax.

    **Pareto set.** Σ_t λ_t ∇f_t = 0 gives z = Σ λ_t e_t = λ: the minimum of the linear scalarization is affine in λ,
    and a convex hull of m vectors, or a linear layer with a low-rank term for each task, can hold all of it.
    **Front** f_t = ½·(q + 1) − λ_t with q = ‖λ‖², for λ on the simplex. **Nadir** 1, **reference point** 1.1 for each
    function: a tenth beyond, so that the border of the front counts too.

    **Hypervolume**, exact for every m. The dominated set has a lower boundary with a piece for every set T of k tasks:
    y_t = f_t(λ) for t in T, with λ on their face of the simplex, and y_s from f_s to r_s for the other tasks. On it the
    inner normal is λ, and the area element k·λ dλ (its Jacobian is −(I − 1λᵀ), with cofactor matrix (−1)^(k−1)·λ1ᵀ).
    The divergence theorem for the field (y − r)/m, whose flux through the outer faces y_t = r_t is 0, gives

        HV(r) = 1/m · Σ_T k ∫ [Σ_{t∈T} λ_t r_t − ½(1 − q)] · Π_{s∉T} (r_s − ½(1 + q)) dλ

    over the simplex of k entries, of volume 1/(k−1)!: polynomials in q, whose moments under the uniform distribution
    are rational numbers. For two tasks r_1·r_2 − 1/6.

    >>> problem = Quadratics()
    >>> problem.evaluate(torch.tensor([[0.25, 0.75]]))  # x = λ: ½ ((¾)² + (¾)²) and ½ ((¼)² + (¼)²)
    tensor([[0.5625, 0.0625]])
    >>> round(problem.hypervolume(), 4)  # 1.1² − 1/6
    1.0433
    """

    objectives: int = option(2, ge=2, le=100, help="number m of functions")
    variables: int | None = option(None, ge=2, le=10_000, help="number n of variables, at least m; none: m")
    condition: float = option(1.0, ge=1, help="largest over smallest curvature")

    def __attrs_post_init__(self) -> None:
        if self.variables is not None and self.variables < self.objectives:
            raise OptionError(
                f"variables must be at least the number of functions, {self.objectives}, but it is {self.variables}",
                "variables",
            )

    @property
    def n(self) -> int:
        """`variables`."""
        return self.objectives if self.variables is None else self.variables

    @property
    def m(self) -> int:
        """`objectives`."""
        return self.objectives

    @property
    def reference(self) -> tuple[float, ...]:
        """1.1 for each function."""
        return (1.1,) * self.m

    @property
    def nadir(self) -> tuple[float, ...]:
        """1 for each function."""
        return (1.0,) * self.m

    def evaluate(self, x: Tensor) -> Tensor:
        """See `AnalyticProblem.evaluate`."""
        steps = torch.linspace(0, 0.5, self.n, dtype=x.dtype, device=x.device)
        z = x * self.condition**steps
        # Differences from each unit vector, not the expanded square, which would lose digits near the optimum.
        points = torch.eye(self.m, self.n, dtype=x.dtype, device=x.device)
        return 0.5 * ((z[:, None, :] - points) ** 2).sum(dim=2)

    def front(self, points: int) -> npt.NDArray[np.float64]:
        """At well-spread points λ of the simplex."""
        weights = simplex_points(points, self.m)
        front: npt.NDArray[np.float64] = 0.5 * ((weights**2).sum(axis=1, keepdims=True) + 1) - weights
        return front

    def volume(self, reference: Sequence[float]) -> float:
        """See the class; reckoned in fractions, exact but for the final rounding."""
        half = Fraction(1, 2)
        # Over all sets T of k tasks: sums of Π_{s∉T} (r_s − ½ − ½q), plain and times Σ_{t∈T} r_t; as polynomials in q.
        plain: list[list[Fraction]] = [[Fraction(1)]]
        weighted: list[list[Fraction]] = [[Fraction(0)]]
        for value in reference:
            r = Fraction(value)
            outside = [r - half, -half]
            plain, weighted = (
                [
                    _sum(_product(_at(plain, k), outside), _at(plain, k - 1))
                    for k in range(len(plain) + 1)
                ],
                [
                    _sum(
                        _product(_at(weighted, k), outside),
                        _at(weighted, k - 1),
                        _product(_at(plain, k - 1), [r]),
                    )
                    for k in range(len(plain) + 1)
                ],
            )  # fmt: skip
        total = Fraction(0)
        for k in range(1, self.m + 1):
            # The mean of λ_t given q is 1/k for each of the k tasks.
            integrand = _sum(_product(weighted[k], [Fraction(1, k)]), _product(plain[k], [-half, half]))
            mean = sum((c * _moment(k, j) for j, c in enumerate(integrand)), Fraction(0))
            total += k * mean / math.factorial(k - 1)
        return float(total / self.m)


def _moment(k: int, j: int) -> Fraction:
    """E[q^j] of q = Σ λ_i² for λ uniform on the simplex of k entries.

    By the multinomial theorem a sum over j_1 + … + j_k = j of j!/Π j_i! · E[Π λ_i^(2j_i)], and the mean of a product of
    powers is (k−1)!·Π (2j_i)! / (k − 1 + 2j)!: the coefficient of z^j in (Σ_i (2i)!/i!·z^i)^k.
    """
    series = [Fraction(math.factorial(2 * i), math.factorial(i)) for i in range(j + 1)]
    power = [Fraction(1)]
    for _ in range(k):
        power = _product(power, series)[: j + 1]
    return power[j] * math.factorial(j) * Fraction(math.factorial(k - 1), math.factorial(k - 1 + 2 * j))


def _at(polynomials: list[list[Fraction]], k: int) -> list[Fraction]:
    return polynomials[k] if 0 <= k < len(polynomials) else [Fraction(0)]


def _product(a: list[Fraction], b: list[Fraction]) -> list[Fraction]:
    result = [Fraction(0)] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            result[i + j] += x * y
    return result


def _sum(*polynomials: list[Fraction]) -> list[Fraction]:
    length = max(len(p) for p in polynomials)
    return [sum((p[i] for p in polynomials if i < len(p)), Fraction(0)) for i in range(length)]
