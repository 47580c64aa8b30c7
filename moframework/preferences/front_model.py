"""What losses to expect at preferences that were not tried, from those that were, and how far apart points then lie."""

from __future__ import annotations

import numpy as np

from moframework.preferences.sampling import Array

__all__ = ["distances", "expected_losses", "scaled"]

# Share of the tried preferences that count as near.
_SHARE = 0.08
# Weight of no slope over that of the data: what keeps slopes finite where all near preferences are alike.
_RIDGE = 1e-4


def expected_losses(at: Array, preferences: Array, losses: Array, near_each: int = 6) -> Array:
    """Losses by local linear regression: of each point the value there of the plane that fits the losses at near
    preferences best, weighted by a Gaussian of the distance.

    A plane, unlike a mean, does not draw the ends of a front inward. The width of the Gaussian is the distance to the
    preference at 8 % of them, or the `near_each` m-th nearest, so that it is small where many were tried.

    Args:
        at: (q, m), on the simplex.
        preferences: (n, m), those tried, n at least 1.
        losses: (n, m), theirs, finite; noise in them is averaged out in part.
        near_each: how many count as near at least, for each task; 2 for losses without noise.

    Returns:
        (q, m).

    >>> tried = np.array([[0.0, 1.0], [0.25, 0.75], [0.5, 0.5], [1.0, 0.0]])
    >>> expected_losses(np.array([[0.75, 0.25]]), tried, 1 - tried).round(3).tolist()
    [[0.25, 0.75]]
    """
    n, m = preferences.shape
    squares = ((at[:, None] - preferences[None]) ** 2).sum(axis=2)
    near = min(n, max(int(_SHARE * n), near_each * m))
    width = np.partition(squares, near - 1, axis=1)[:, near - 1 : near] + 1e-12
    weights = np.exp(-2 * squares / width)
    weights /= weights.sum(axis=1, keepdims=True)
    mean, center = weights @ losses, weights @ preferences
    # Slopes in all m weights but the last, which the others tell.
    free = preferences[None, :, : m - 1] - center[:, None, : m - 1]
    products = np.einsum("qn,qna,qnb->qab", weights, free, free)
    ridge = _RIDGE * (np.trace(products, axis1=1, axis2=2) / max(m - 1, 1) + 1e-12)
    products += ridge[:, None, None] * np.eye(m - 1)
    slopes = np.linalg.solve(products, np.einsum("qn,qna,nt->qat", weights, free, losses))
    return np.asarray(mean + np.einsum("qa,qat->qt", (at - center)[:, : m - 1], slopes))


def scaled(losses: Array) -> Array:
    """Losses (q, m) over the range that each task has in them; a task without a range is 0 everywhere."""
    low, high = losses.min(axis=0), losses.max(axis=0)
    return np.asarray((losses - low) / np.where(high > low, high - low, 1.0))


def distances(points: Array, others: Array) -> Array:
    """Euclidean distances (…, k, n) of points (…, k, m) from others (…, n, m).

    >>> distances(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 1.0]])).tolist()
    [[5.0, 1.0]]
    """
    return np.asarray(np.sqrt(((points[..., :, None, :] - others[..., None, :, :]) ** 2).sum(axis=-1)))
