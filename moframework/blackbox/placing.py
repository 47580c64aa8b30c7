"""Which preference an evaluated point is an answer to."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["BELOW", "Scale", "preferences_of"]

Array = npt.NDArray[np.float64]

BELOW = 0.1
"""Of a standard deviation, that an ideal point lies below the least values, as in PSL-MOBO's code."""


class Scale:
    """Objectives on one footing: 0 at the ideal point, 1 a standard deviation of what was evaluated.

    Args:
        values: (k, m), all that is known.
    """

    def __init__(self, values: Array) -> None:
        spread = values.std(axis=0)
        self.mean: Array = values.mean(axis=0)
        self.deviation: Array = np.where(spread > 0, spread, 1.0)
        self.ideal: Array = self.standardized(values).min(axis=0) - BELOW

    def standardized(self, values: Array) -> Array:
        """Values (k, m) with mean 0 and deviation 1 over what is known."""
        found: Array = (values - self.mean) / self.deviation
        return found


def preferences_of(values: Array, known: Array) -> Array:
    """The preference λ (k, m) at which each point would be the optimum of the Tchebycheff scalarization.

    There all λ_t (y_t − z_t) are equal, so λ_t ∝ 1/(y_t − z_t), with objectives y scaled by `Scale` and its ideal point
    z (Bowman 1976). Points of which none dominates another have different preferences.

    Args:
        values: (k, m), the points.
        known: (K, m), all that was evaluated, by which objectives are scaled.

    >>> preferences_of(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.0, 1.0], [1.0, 0.0]])).round(3).tolist()
    [[0.955, 0.045], [0.045, 0.955]]
    """
    scale = Scale(known)
    weights = 1 / np.maximum(scale.standardized(values) - scale.ideal, BELOW / 2)
    found: Array = weights / weights.sum(axis=1, keepdims=True)
    return found
