"""Preferences whose points lie evenly on the front: none near another."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Generator, Tensor

from moframework.config import config, option
from moframework.preferences.adaptive import Adaptive, State, arrays
from moframework.preferences.front_model import distances, expected_losses, scaled
from moframework.preferences.sampling import Array
from moframework.preferences.simplex import even, inset, lattice

__all__ = ["Maximin", "maximin", "spread_over"]

# Preferences among which points are chosen, about.
_CANDIDATES = 300


@config
class Maximin(Adaptive):
    """Points with the largest least distance of two on the front, after UMOD (Zhang et al., "Gliding over the Pareto
    front with uniform designs", NeurIPS 2024).

    Even preferences need not be even points: with a linear scalarization many may have one and the same point. Every
    `every` steps the losses that are to be expected at each preference are estimated from those of the latest steps,
    each task over its range, and the points are put where the least distance of two is largest: the best point of
    each task first, then the farthest in turn, then each where it is farthest from the others, until none moves. UMOD
    learns a network of the front and climbs by gradients; here the front is fitted by local planes, and points are
    chosen among a fixed set of preferences, exactly repeatable.

    A preference is drawn between a point and one of those nearest to it, all points in turn.

    >>> share = torch.linspace(0, 1, 41, dtype=torch.float64)
    >>> losses = torch.stack([(1 - share) ** 3, 1 - (1 - share) ** 3], dim=1)  # a straight front, crowded at one end
    >>> schedule, preferences = Maximin(points=3, margin=0.0), torch.stack([share, 1 - share], dim=1)
    >>> state = schedule.adapted(schedule.initial_state(2), preferences, losses, Generator())
    >>> ((1 - state["points"][:, 0]) ** 3).round(decimals=1)  # where the points are on it
    tensor([1.0000, 0.5000, 0.0000], dtype=torch.float64)
    """

    sweeps: int = option(20, ge=0, le=1000, help="rounds in which points are moved, at most")

    def adapted(self, state: State, preferences: Tensor, losses: Tensor, generator: Generator) -> State:
        """See `Adaptive.adapted`; nothing is random."""
        k, m = state["points"].shape
        candidates = _candidates(m, self.margin)
        tried, found = arrays(preferences, losses)
        expected = scaled(expected_losses(candidates, tried, found))
        chosen = maximin(expected, k, self.sweeps)
        return {"points": torch.from_numpy(candidates[np.sort(chosen)])}

    def draw_points(self, state: State, count: int, generator: Generator) -> Tensor:
        """See `Adaptive.draw_points`."""
        points = state["points"]
        k, m = points.shape
        rounds = [torch.randperm(k, generator=generator) for _ in range(-(-count // k))]
        of = torch.cat(rounds)[:count]
        # The point itself is its own nearest.
        near = torch.cdist(points, points).argsort(dim=1, stable=True)[of, 1 : m + 1]
        other = near.gather(1, torch.randint(near.shape[1], (count, 1), generator=generator))[:, 0]
        share = torch.rand(count, 1, generator=generator, dtype=torch.float64) / 2
        return points[of].lerp(points[other], share)


def maximin(points: Array, count: int, sweeps: int = 20) -> NDArray[np.int64]:
    """Which `count` of some points lie farthest apart: the least distance of two is large, and no single exchange makes
    it larger for the point exchanged.

    Args:
        points: losses (q, m), q at least `count`.
        count: how many, at least 1.
        sweeps: rounds of exchanges, at most.

    Returns:
        (count,) indices, first those of the best point of each task.

    >>> line = np.array([[0.0], [0.1], [0.2], [0.5], [0.6], [1.0]])
    >>> sorted(maximin(line, 3).tolist())
    [0, 3, 5]
    """
    between = distances(points, points)
    ends = dict.fromkeys(points.argmin(axis=0).tolist())
    chosen = list(ends)[:count]
    while len(chosen) < count:
        chosen.append(int(between[:, chosen].min(axis=1).argmax()))
    for _ in range(sweeps):
        before = list(chosen)
        for i in range(min(len(ends), count), count):
            others = chosen[:i] + chosen[i + 1 :]
            room = between[:, others].min(axis=1)
            if room.max() > room[chosen[i]] + 1e-12:
                chosen[i] = int(room.argmax())
        if chosen == before:
            break
    return np.asarray(chosen)


def spread_over(preferences: ArrayLike, losses: ArrayLike, count: int) -> Tensor:
    """Preferences whose points are to be expected evenly on a front, from the points that others have: where to
    evaluate a model so that a plot, or a choice, has no gaps.

    Args:
        preferences, losses: (n, m) both, of one front.
        count: how many, at least m.

    Returns:
        (count, m), float32, rows on the simplex, in ascending order of the first weight.

    Raises:
        ValueError: the shapes are no front of at least two tasks, or there are fewer than m points, or `count` is
            below m.

    >>> import torch
    >>> first = torch.linspace(0, 1, 41, dtype=torch.float64)
    >>> even = torch.stack([first, 1 - first], dim=1)
    >>> uneven = torch.stack([(1 - first) ** 3, 1 - (1 - first) ** 3], dim=1)  # a straight front, crowded at one end
    >>> chosen = spread_over(even, uneven, 3)
    >>> [round(float(value), 1) for value in (1 - chosen[:, 0]) ** 3]
    [1.0, 0.5, 0.0]
    """
    tried, found = np.asarray(preferences, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if tried.ndim != 2 or tried.shape != found.shape or tried.shape[1] < 2:
        raise ValueError(
            f"preferences and losses must both be (n, m), m ≥ 2, but they are {tried.shape}, {found.shape}"
        )
    m = tried.shape[1]
    if len(tried) < m or count < m:
        raise ValueError(
            f"{len(tried)} points known and {count} wanted: both must be at least {m}, the number of tasks"
        )
    candidates = _candidates(m, 0.0, max(_CANDIDATES, 10 * count))
    chosen = maximin(scaled(expected_losses(candidates, tried, found, near_each=2)), count, sweeps=100)
    return torch.from_numpy(candidates[np.sort(chosen)]).float()


@lru_cache(maxsize=16)
def _candidates(m: int, margin: float, count: int = _CANDIDATES) -> Array:
    """About `count` even preferences (q, m), in ascending order of the first weight."""
    if m <= 3:
        partitions = count if m == 2 else int(np.sqrt(2 * count))
        found = lattice(m, partitions)
    else:
        found = even(max(count, 4 * m), m)
        found = found[torch.argsort(found[:, 0], stable=True)]
    return np.asarray(inset(found, margin).numpy())
