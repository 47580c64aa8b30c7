"""A Gaussian process over the simplex: what a column may be at preferences where it was not evaluated."""

from __future__ import annotations

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

__all__ = ["Surrogate"]

Array = NDArray[np.float64]

_LENGTHS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Length scales that are tried; the simplex has diameter √2."""
_NOISES = (1e-8, 1e-4, 1e-2)
"""Variances of roughness between neighbors that are tried, as a share of the whole: accuracies move in steps of a
sample."""


@frozen
class Surrogate:
    """A Gaussian process with a Matérn 5/2 kernel, of unit variance and mean 0 after standardization.

    Source: Rasmussen, Williams, Gaussian Processes for Machine Learning, 2006, algorithm 2.1 and eq. 4.17. Length scale
    and noise are those of the largest marginal likelihood among a few.

    >>> x = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    >>> mean, deviation = Surrogate.fit(x, np.array([1.0, 2.0, 3.0])).at(x)
    >>> mean.round(2).tolist(), bool(deviation.max() < 0.1)
    ([1.0, 2.0, 3.0], True)
    """

    points: Array
    center: float
    scale: float
    length: float
    noise: float
    factor: Array
    weights: Array

    @classmethod
    def fit(cls, points: Array, values: Array, like: Surrogate | None = None) -> Surrogate:
        """The process given values (n,), finite, at points (n, m); with length scale and noise of another one, where it
        is given."""
        center, scale = float(values.mean()), float(values.std())
        scale = scale if scale > 0 else 1.0
        y = (values - center) / scale
        best, found = -np.inf, None
        for length in _LENGTHS if like is None else (like.length,):
            kernel = _matern(points, points, length)
            for noise in _NOISES if like is None else (like.noise,):
                # The diagonal keeps points next to each other apart.
                factor = np.asarray(np.linalg.cholesky(kernel + (noise + 1e-9) * np.eye(len(points))), dtype=np.float64)
                weights = np.linalg.solve(factor.T, np.linalg.solve(factor, y))
                likelihood = float(-0.5 * y @ weights - np.log(np.diag(factor)).sum())
                if likelihood > best:
                    best, found = likelihood, cls(points, center, scale, length, noise, factor, weights)
        assert found is not None
        return found

    def at(self, points: Array) -> tuple[Array, Array]:
        """Mean and standard deviation (k,) at points (k, m), without the noise."""
        kernel = _matern(points, self.points, self.length)
        solved = np.linalg.solve(self.factor, kernel.T)
        variance = np.maximum(1 - (solved**2).sum(axis=0), 1e-12)
        return self.center + self.scale * (kernel @ self.weights), self.scale * np.sqrt(variance)


def _matern(a: Array, b: Array, length: float) -> Array:
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2 * a @ b.T
    distance = np.sqrt(5 * np.maximum(squares, 0)) / length
    return np.asarray((1 + distance + distance**2 / 3) * np.exp(-distance))
