"""Quadratic surrogates of losses over coefficients of task vectors, and the front that they have."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from moframework.preferences.simplex import even

__all__ = ["Link", "Quadratic", "Search", "monomials", "needed"]

Array = NDArray[np.float64]

Link = Literal["softplus", "identity"]
"""What a quadratic goes through to become a loss: `softplus` keeps it positive."""

_LEAST = 1e-6  # below it a loss has no finite inverse of softplus


def monomials(points: Array) -> Array:
    """`c_i c_j` for i ≤ j, then `c_i`, then 1, at points (n, m): (n, (m+1)(m+2)/2).

    >>> monomials(np.array([[2.0, 3.0]])).tolist()
    [[4.0, 6.0, 9.0, 2.0, 3.0, 1.0]]
    """
    rows, columns = np.triu_indices(points.shape[1])
    return np.hstack([points[:, rows] * points[:, columns], points, np.ones((len(points), 1))])


@frozen(eq=False)
class Quadratic:
    """`q(c) = Σ_{i≤j} a_ij c_i c_j + Σ_i b_i c_i + e` through a link, fitted to a loss by least squares (MAP, arXiv
    2406.07529 and its released code).

    Attributes:
        coefficients: of `monomials`.
        link: what q goes through.
        r2: share of the variance of the fitted values that it explains, R²; 1 where they are all equal.

    >>> c = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> fit = Quadratic.fit(c, 2 * c[:, 0] ** 2 + 1, "identity")
    >>> fit.coefficients.round(6).tolist(), round(fit.r2, 6)
    ([2.0, 0.0, 1.0], 1.0)
    """

    coefficients: Array
    link: Link
    r2: float

    @classmethod
    def fit(cls, points: Array, values: Array, link: Link) -> Quadratic:
        """The quadratic through values (n,) at points (n, m), all finite; n is at least (m+1)(m+2)/2."""
        features = monomials(points)
        if link == "identity":
            coefficients = np.asarray(np.linalg.lstsq(features, values, rcond=None)[0], dtype=np.float64)
        else:
            positive = np.maximum(values, _LEAST)
            start = np.linalg.lstsq(features, positive + np.log(-np.expm1(-positive)), rcond=None)[0]
            coefficients = _refined(features, values, start)
        left = float(np.square(_linked(features @ coefficients, link) - values).sum())
        spread = float(np.square(values - values.mean()).sum())
        return cls(coefficients, link, 1 - left / spread if spread > 0 else 1.0)

    def at(self, points: Array) -> Array:
        """Its value (n,) at points (n, m)."""
        return _linked(monomials(points) @ self.coefficients, self.link)

    def slopes(self, points: Array) -> Array:
        """Its gradient (n, m) at points (n, m)."""
        m = points.shape[1]
        squares = np.zeros((m, m))
        squares[np.triu_indices(m)] = self.coefficients[: -m - 1]
        inner = points @ (squares + squares.T) + self.coefficients[-m - 1 : -1]
        if self.link == "identity":
            return inner
        return np.asarray(_sigmoid(monomials(points) @ self.coefficients)[:, None] * inner, dtype=np.float64)


def _linked(values: Array, link: Link) -> Array:
    return values if link == "identity" else np.asarray(np.logaddexp(0, values), dtype=np.float64)


def _sigmoid(values: Array) -> Array:
    """The slope of softplus."""
    return np.asarray(np.exp(-np.logaddexp(0, -values)), dtype=np.float64)


def _refined(features: Array, values: Array, start: Array) -> Array:
    """The coefficients of least squares through softplus, near those that `start` has."""
    from scipy.optimize import least_squares

    def residuals(coefficients: Array) -> Array:
        return _linked(features @ coefficients, "softplus") - values

    def slopes(coefficients: Array) -> Array:
        return np.asarray(_sigmoid(features @ coefficients)[:, None] * features, dtype=np.float64)

    return np.asarray(least_squares(residuals, start, jac=slopes).x, dtype=np.float64)


@frozen(kw_only=True)
class Search:
    """NSGA-III over coefficients, as of pymoo; simulated binary crossover and polynomial mutation with η = 20, and a
    mutation rate of 1/m.

    Attributes:
        bound: coefficients lie in [−bound, bound].
        population: points of a generation, and at most so many reference directions.
        generations: how many there are.
        seed: of all that is drawn.
    """

    bound: float = 3.0
    population: int = 100
    generations: int = 150
    seed: int = 0

    def front(self, losses: Callable[[Array], Array], m: int) -> Array:
        """Coefficients (k, m) of the front of a function from coefficients (n, m) to losses (n, m)."""
        from pymoo.algorithms.moo.nsga3 import NSGA3
        from pymoo.core.problem import Problem
        from pymoo.operators.crossover.sbx import SBX
        from pymoo.operators.mutation.pm import PM
        from pymoo.optimize import minimize

        class Surrogates(Problem):  # type: ignore[misc]
            def _evaluate(self, points: Array, out: dict[str, Array], *_: object, **__: object) -> None:
                out["F"] = losses(points)

        algorithm = NSGA3(
            even(max(self.population, m), m).numpy(), pop_size=max(self.population, m),
            crossover=SBX(eta=20), mutation=PM(eta=20, prob_var=1 / m),
        )  # fmt: skip
        box = Surrogates(n_var=m, n_obj=m, xl=-self.bound, xu=self.bound)
        found = minimize(box, algorithm, ("n_gen", self.generations), seed=self.seed, verbose=False)
        return np.atleast_2d(np.asarray(found.X, dtype=np.float64))


def needed(m: int) -> int:
    """How many numbers a quadratic of m coefficients has.

    >>> needed(2), needed(3)
    (6, 10)
    """
    return math.comb(m + 2, 2)
