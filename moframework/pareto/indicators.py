"""Indicators of a set of loss vectors. All losses are minimized; convert what is maximized by its sign."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "LEAST_ON_RAY",
    "Direction",
    "angles",
    "controllability",
    "hypervolume",
    "hypervolume_is_exact",
    "igd",
    "igd_plus",
    "nondominated",
    "nonuniformity",
    "r2",
]


Direction = Literal["inverse", "preference"]

LEAST_ON_RAY = 1e-3
"""Preferences below it count as this on a ray 1/λ, which one of 0 would send to infinity: a task of preference 0 may
have a loss a thousand times that of a task of preference 1."""


def nondominated(losses: ArrayLike) -> NDArray[np.bool_]:
    """Which points no other point dominates.

    A point dominates another when it is no worse in every task and better in at least one. Equal points do not dominate
    each other: all duplicates of a non-dominated point are kept.

    Args:
        losses: (n, m); n may be 0.

    Returns:
        (n,), True for the non-dominated.

    Raises:
        ValueError: not two-dimensional, or a loss is nan or −inf.

    >>> nondominated([[1, 2], [2, 1], [2, 2], [1, 2]]).tolist()
    [True, True, False, True]
    """
    points = _points(losses, "losses")
    if len(points) == 0:
        return np.zeros(0, dtype=np.bool_)
    import moocore

    return np.asarray(moocore.is_nondominated(points, keep_weakly=True), dtype=np.bool_)


def hypervolume(losses: ArrayLike, reference: ArrayLike) -> float:
    """The volume that the points dominate below a reference point.

    Points that are not better than the reference in every task contribute nothing. Exact for fronts of ordinary size
    (`hypervolume_is_exact`); beyond, where exact algorithms take hours, it is estimated with a fixed seed to about
    half a percent: boxes are drawn in proportion to their volume, points evenly within, and each counts for one over
    the number of boxes that hold it (Karp, Luby, Madras, J. Algorithms 10, 1989); the standard error is at most
    √(n/65536) of the value.

    Args:
        losses: (n, m); n may be 0.
        reference: (m,), finite.

    Returns:
        at least 0; 0 when no point is better than the reference in every task.

    Raises:
        ValueError: wrong shapes, a loss that is nan or −inf, a reference that is not finite.

    >>> hypervolume([[1, 2], [2, 1]], [3, 3])
    3.0
    """
    points = _points(losses, "losses")
    corner = np.asarray(reference, dtype=np.float64)
    if corner.shape != points.shape[1:]:
        raise ValueError(f"the reference must have one number a task, {points.shape[1]}, but has shape {corner.shape}")
    if not np.isfinite(corner).all():
        raise ValueError(f"the reference must be finite, but it is {corner.tolist()}")
    inside = points[(points < corner).all(axis=1)]
    if len(inside) == 0:
        return 0.0
    if not hypervolume_is_exact(*points.shape):
        return _estimated_hypervolume(inside, corner)
    import moocore

    return float(moocore.hypervolume(inside, ref=corner))


def hypervolume_is_exact(n: int, m: int) -> bool:
    """Whether `hypervolume` is exact for `n` points of `m` tasks, rather than estimated.

    Exact algorithms take of the order of n^(m−2) steps; up to 10^12 that is about a second. So up to four tasks any
    number of points, 1000 for six, 100 for eight, and few beyond.
    """
    return m <= 4 or (m <= 16 and (m - 2) * np.log10(max(n, 1)) <= 12)


def _estimated_hypervolume(points: NDArray[np.float64], reference: NDArray[np.float64], samples: int = 65536) -> float:
    boxes = np.unique(points[nondominated(points)], axis=0)  # sorted: the order of the points does not matter
    sides = reference - boxes
    log_volumes = np.log(sides).sum(axis=1)  # a product of many small sides would underflow
    scale = log_volumes.max()
    volumes = np.exp(log_volumes - scale)
    generator = np.random.default_rng(0)
    count = np.zeros(0)
    for box in np.array_split(generator.choice(len(boxes), samples, p=volumes / volumes.sum()), 32):
        inside = reference - generator.random((len(box), len(reference))) * sides[box]
        holds = np.ones((len(box), len(boxes)), dtype=np.bool_)
        for t in range(len(reference)):
            holds &= inside[:, t, None] >= boxes[None, :, t]
        # The box a point was drawn from holds it, whatever rounding says.
        count = np.concatenate([count, np.maximum(holds.sum(axis=1), 1)])
    return float(np.exp(scale) * volumes.sum() * np.mean(1 / count))


def igd(losses: ArrayLike, true_front: ArrayLike) -> float:
    """Inverted generational distance: the mean over the true front of the distance to the nearest point found.

    Args:
        losses: (n, m), n at least 1.
        true_front: (k, m), k at least 1.

    Returns:
        at least 0; 0 when every point of the true front was found.

    Raises:
        ValueError: wrong shapes, no points, or a loss that is nan or −inf.
    """
    found, front = _pair(losses, true_front)
    import moocore

    return float(moocore.igd(found, ref=front))


def igd_plus(losses: ArrayLike, true_front: ArrayLike) -> float:
    """As `igd`, but only what a point is worse than the true front counts as distance, so that it agrees with
    dominance.

    Source: Ishibuchi, Masuda, Tanigaki, Nojima, EMO 2015. Arguments and errors as for `igd`.
    """
    found, front = _pair(losses, true_front)
    import moocore

    return float(moocore.igd_plus(found, ref=front))


def r2(losses: ArrayLike, ideal: ArrayLike) -> float:
    """R2: the mean, over weights on the simplex, of the best weighted Tchebycheff value that a point has,
    `E_w min_i max_t w_t (L_it − ideal_t)`. Small is good; unlike the hypervolume it needs no worst point.

    For one and two tasks the mean is exact (Schäpermeier, Kerschke, R2 v2: The Pareto-compliant R2 Indicator for Better
    Benchmarking in Bi-objective Optimization, Evolutionary Computation 2025); beyond it is that over 8,192 quasi-random
    weights with a fixed seed, to about a percent. Source: Hansen, Jaszkiewicz, Evaluating the Quality of Approximations
    to the Non-dominated Set, 1998.

    Args:
        losses: (n, m), n at least 1.
        ideal: (m,), finite, nowhere above a loss; the same for all fronts that are compared.

    Returns:
        at least 0; inf where every point has an infinite loss.

    Raises:
        ValueError: wrong shapes, no points, a loss that is nan or −inf, an ideal that is not finite or above a loss.

    >>> r2([[1, 1]], [0, 0]), round(r2([[1, 1, 1]], [0, 0, 0]), 3)
    (0.75, 0.611)
    """
    points = _points(losses, "losses")
    best = np.asarray(ideal, dtype=np.float64)
    if best.shape != points.shape[1:] or not np.isfinite(best).all():
        raise ValueError(f"the ideal must be {points.shape[1]} finite numbers, one a task, but it is {best.tolist()}")
    if len(points) == 0:
        raise ValueError("R2 needs at least one point")
    if (points < best).any():
        row, column = np.argwhere(points < best)[0]
        raise ValueError(
            f"losses: row {row}, column {column} is {points[row, column]:g}, below the ideal {best[column]:g}"
        )
    distances = points[np.isfinite(points).all(axis=1)] - best  # one without bound is best for no weights
    if len(distances) == 0:
        return float("inf")
    if points.shape[1] == 1:
        return float(distances.min())
    if points.shape[1] == 2:
        import moocore

        return float(moocore.r2_exact(distances, ref=np.zeros(2)))
    weights = _even_weights(points.shape[1])
    values = np.full(len(weights), np.inf)
    for distance in distances:  # one by one: all at once would be n · 8,192 · m numbers
        values = np.minimum(values, (weights * distance).max(axis=1))
    return float(values.mean())


def _even_weights(m: int, bits: int = 13) -> NDArray[np.float64]:
    """2^bits points that fill the simplex evenly: Sobol's, as exponential waiting times over their sum."""
    from scipy.stats import qmc

    waits = -np.log1p(-qmc.Sobol(m, seed=0).random_base2(bits).clip(max=1 - 2.0**-32))
    return np.asarray(waits / waits.sum(axis=1, keepdims=True))


def controllability(preferences: ArrayLike, losses: ArrayLike) -> NDArray[np.float64]:
    """For each task the Spearman rank correlation between its preference weight and its loss; −1 is ideal.

    Ties get their mean rank.

    Args:
        preferences: (n, m).
        losses: (n, m).

    Returns:
        (m,), in [−1, 1]; nan for a task whose weight or loss is the same at all points.

    Raises:
        ValueError: shapes differ, or a value is nan or −inf.

    >>> controllability([[0, 1], [0.5, 0.5], [1, 0]], [[3, 1], [2, 2], [1, 2.5]]).tolist()
    [-1.0, -1.0]
    """
    weights, points = _same_shape(preferences, losses)
    found = np.full(points.shape[1], np.nan)
    for t in range(points.shape[1]):
        a, b = _ranks(weights[:, t]), _ranks(points[:, t])
        a, b = a - a.mean(), b - b.mean()
        norm = np.sqrt((a @ a) * (b @ b))
        if norm > 0:
            found[t] = np.clip((a @ b) / norm, -1, 1)
    return found


def nonuniformity(preferences: ArrayLike, losses: ArrayLike) -> float:
    """How far weighted losses are from being equal: `mean_j Σ_t q_jt · log(m·q_jt)`, with q_j the normalized λ_j∘L_j.

    0 is ideal (the point on the ray 1/λ, which exact search looks for); at a vertex of the simplex it is log m. Source:
    EPO (Mahapatra, Rajan, ICML 2020), the mean over preferences.

    Args:
        preferences: (n, m), not negative.
        losses: (n, m).

    Returns:
        in [0, log m]; nan when it is not defined: a loss is negative or infinite, all of a row's products are 0, or
        no rows.

    Raises:
        ValueError: shapes differ, or a value is nan or −inf.
    """
    weights, points = _same_shape(preferences, losses)
    products = weights * np.where(np.isinf(points), np.nan, points)
    totals = products.sum(axis=1, keepdims=True)
    if len(points) == 0 or not ((products >= 0).all() and (totals > 0).all()):
        return float("nan")
    q = products / totals
    # 0·log 0 = 0, the limit
    return float((q * np.log(np.where(q > 0, points.shape[1] * q, 1.0))).sum(axis=1).mean())


def angles(preferences: ArrayLike, losses: ArrayLike, direction: Direction = "inverse") -> NDArray[np.float64]:
    """How far each point is off the ray of its preference: the angle between its losses and the ray, in degrees.

    0 is what exact methods look for (`epo`, `pmgda`, `ferero`). Rays start at the origin.

    Args:
        preferences: (n, m), not negative.
        losses: (n, m).
        direction: `inverse`: the ray is 1/λ, on which all λ_t L_t are equal, so that a larger λ_t means a smaller loss
            (λ_t below `LEAST_ON_RAY` count as that); `preference`: the ray is λ, as PMGDA and FERERO write.

    Returns:
        (n,), in [0, 180]; nan for losses that are all 0, or infinite.

    Raises:
        ValueError: shapes differ, or a value is nan or −inf.

    >>> angles([[0.5, 0.5], [0.2, 0.8]], [[1, 1], [0, 1]]).round(3).tolist()
    [0.0, 75.964]
    """
    weights, points = _same_shape(preferences, losses)
    rays = weights if direction == "preference" else 1 / weights.clip(min=LEAST_ON_RAY)
    points = np.where(np.isinf(points), np.nan, points)
    with np.errstate(invalid="ignore", divide="ignore"):
        first = rays / np.linalg.norm(rays, axis=1, keepdims=True)
        second = points / np.linalg.norm(points, axis=1, keepdims=True)
        # Of two unit vectors; an arc cosine has no digits left near 0.
        half = np.arctan2(np.linalg.norm(first - second, axis=1), np.linalg.norm(first + second, axis=1))
    return np.asarray(np.degrees(2 * half))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1 on; equal values share the mean of theirs."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[which.reshape(-1)]
    return ranks


def _points(values: ArrayLike, name: str) -> NDArray[np.float64]:
    points = np.asarray(values, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] == 0:
        raise ValueError(f"{name} must have shape (n, m) with a column for each task, but has {points.shape}")
    wrong = np.argwhere(np.isnan(points) | np.isneginf(points))
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(f"{name}: row {row}, column {column} is {points[row, column]}")
    return points


def _pair(losses: ArrayLike, true_front: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    found, front = _points(losses, "losses"), _points(true_front, "true_front")
    if found.shape[1] != front.shape[1]:
        raise ValueError(f"losses have {found.shape[1]} columns, the true front has {front.shape[1]}")
    if len(found) == 0 or len(front) == 0:
        raise ValueError("the distance to the true front needs at least one point on either side")
    return found, front


def _same_shape(preferences: ArrayLike, losses: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    weights, points = _points(preferences, "preferences"), _points(losses, "losses")
    if weights.shape != points.shape:
        raise ValueError(f"preferences and losses must have one shape, but have {weights.shape} and {points.shape}")
    return weights, points
