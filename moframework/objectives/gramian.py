"""Small convex problems over the Gramian of the tasks' gradients, solved exactly on the host."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

__all__ = ["dual_cone_weights", "min_norm_weights", "unit_scale"]

Array = NDArray[np.float64]


def min_norm_weights(gramian: Array) -> Array:
    """Weights of the shortest convex combination of gradients: `argmin_{α ∈ Δ} αᵀ G α` (Désidéri 2012; MGDA).

    With G = RᵀR the nonnegative u nearest to `R u = 0, 1ᵀu = 1` in the least-squares sense is s·α for some s > 0: for
    fixed α the best s gives the value n²/(1 + n²), n² = αᵀGα, which grows with n. So one run of Lawson and Hanson's
    NNLS, which is exact and finite, solves it.

    Args:
        gramian: G = J Jᵀ (k, k) of gradients J (k, p), finite.

    Returns:
        (k,), at least 0, sum 1. `J.T @ weights` is a common descent direction, or 0 where there is none.

    >>> min_norm_weights(np.array([[1.0, 0.0], [0.0, 4.0]])).round(6).tolist()
    [0.8, 0.2]
    """
    root = _root(unit_scale(gramian))
    weights, _ = nnls(np.vstack([root, np.ones(len(gramian))]), np.append(np.zeros(len(root)), 1.0))
    return np.asarray(weights / weights.sum())


def dual_cone_weights(u: Array, gramian: Array) -> Array:
    """Weights of the projection of a combination of gradients onto their dual cone: `argmin_{v ≥ u} vᵀ G v` (Quinton
    and Rey 2024, arXiv 2406.16232, Prop. 1).

    Args:
        u: (k,) weights of the combination `J.T @ u` that is projected.
        gramian: G = J Jᵀ (k, k), finite.

    Returns:
        v (k,); `J.T @ v` has no negative product with any gradient.

    >>> dual_cone_weights(np.array([1.0, 0.0]), np.array([[1.0, -0.5], [-0.5, 1.0]])).round(6).tolist()
    [1.0, 0.5]
    """
    root = _root(unit_scale(gramian))
    excess, _ = nnls(root, -root @ u)
    return np.asarray(u + excess)


def unit_scale(gramian: Array) -> Array:
    """The Gramian over its mean diagonal entry; 0 stays 0. Solvers' tolerances are absolute."""
    mean = float(np.trace(gramian)) / len(gramian)
    return gramian / mean if mean > 0 else np.zeros_like(gramian)


def _root(gramian: Array) -> Array:
    """R (k, k) with RᵀR = G; directions that rounding made negative count as 0."""
    values, vectors = np.linalg.eigh(gramian)
    return np.asarray(np.sqrt(values.clip(min=0))[:, None] * vectors.T)
