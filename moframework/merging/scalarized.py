"""Which coefficients on the front of surrogates a preference gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from moframework.merging.quadratic import Quadratic

__all__ = ["Kind", "Scalarized", "best_at"]

Array = NDArray[np.float64]
Kind = Literal["tchebycheff", "linear"]
"""How losses and a preference become one number: see `best_at`."""

_SUM = 1e-3  # weight of the mean beside the largest term, which decides between points that are equal in that
_SMOOTH = 0.01  # μ of the smooth maximum
_ITERATIONS = 300


def best_at(preferences: Array, scaled: Array, kind: Kind) -> NDArray[np.int64]:
    """Which of k points is the best for each of n preferences, (n,).

    Args:
        preferences: (n, m).
        scaled: losses (k, m) of the points, each task's between 0 and 1.
        kind: `tchebycheff`: the smallest `max_t λ_t f_t`, of equal ones the one with the smallest sum; `linear`: the
            smallest `Σ_t λ_t f_t`, which no point in a concave part of a front is.

    >>> points = np.array([[0.0, 1.0], [0.6, 0.6], [1.0, 0.0]])
    >>> best_at(np.array([[0.5, 0.5]]), points, "tchebycheff"), best_at(np.array([[0.9, 0.1]]), points, "linear")
    (array([1]), array([0]))
    """
    if kind == "linear":
        return np.asarray((preferences @ scaled.T).argmin(axis=1))
    # One preference at a time: with many tasks the products of all take more memory than they are worth.
    mean = _SUM * scaled.mean(axis=1)
    return np.array([int(((row * scaled).max(axis=1) + mean).argmin()) for row in preferences])


@frozen(kw_only=True)
class Scalarized:
    """The coefficients for preferences: those of a front's points that are the best, moved to the next minimum of the
    scalarization (L-BFGS-B; of the largest term in its smooth form, μ = .01).

    Losses are put between 0 and 1 by the smallest and largest of each task on the front, of which the smallest are
    minimized first.

    Attributes:
        fits: the surrogates of m losses.
        bound: coefficients lie in [−bound, bound].
        kind: see `best_at`.
    """

    fits: Sequence[Quadratic]
    bound: float
    kind: Kind

    def coefficients(self, preferences: Array, front: Array) -> Array:
        """Coefficients (n, m) for preferences (n, m), given those of a front (k, m)."""
        m = len(self.fits)
        losses = self.losses(front)
        ends = self._moved(front[losses.argmin(axis=0)], lambda scaled: (scaled * np.eye(m), np.eye(m)), losses)
        front = np.concatenate([front, ends])
        losses = self.losses(front)
        chosen = front[best_at(preferences, _scaled(losses, losses), self.kind)]
        return self._moved(chosen, lambda scaled: self._terms(scaled, preferences), losses)

    def losses(self, points: Array) -> Array:
        """The surrogates at points (n, m), (n, m)."""
        return np.stack([fit.at(points) for fit in self.fits], axis=1)

    def _terms(self, scaled: Array, preferences: Array) -> tuple[Array, Array]:
        """What is minimized, as parts that are added up, and its derivative by each scaled loss: (n, m) both."""
        if self.kind == "linear":
            return preferences * scaled, preferences
        m, raised = scaled.shape[1], preferences * scaled / _SMOOTH
        largest = raised.max(axis=1, keepdims=True)
        shares = np.exp(raised - largest)
        total = shares.sum(axis=1, keepdims=True)
        soft = _SMOOTH * (largest + np.log(total)) / m
        return soft + _SUM / m * scaled, shares / total * preferences + _SUM / m

    def _moved(self, start: Array, terms: Callable[[Array], tuple[Array, Array]], front: Array) -> Array:
        """The points that minimize the sum of terms, near a start."""
        from scipy.optimize import Bounds, minimize

        width = _width(front)

        def value(flat: Array) -> tuple[float, Array]:
            points = flat.reshape(start.shape)
            parts, weights = terms(_scaled(self.losses(points), front))
            slopes = sum(
                (weights[:, [t]] / width[t]) * fit.slopes(points) for t, fit in enumerate(self.fits)
            )  # fmt: skip
            return float(parts.sum()), np.asarray(slopes, dtype=np.float64).ravel()

        bounds = Bounds(-self.bound, self.bound)
        found = minimize(
            value, start.ravel(), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _ITERATIONS}
        )
        return np.asarray(found.x, dtype=np.float64).reshape(start.shape)


def _width(front: Array) -> Array:
    width = np.ptp(front, axis=0)
    return np.where(width > 0, width, 1)


def _scaled(losses: Array, front: Array) -> Array:
    return np.asarray((losses - front.min(axis=0)) / _width(front), dtype=np.float64)
