"""The part of the simplex of preferences whose operating points meet conditions: a simplex of its own inside of it.

Its vertex v_t is the preference with the most weight on task t among those that meet the conditions. For conditions
that ask for a least weight of some tasks, as bounds on losses do where a loss falls as its task gets more weight, these
are exactly the vertices of the whole part; of other shapes it is a part of the part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor

from moframework.pareto.conditions import Condition
from moframework.pareto.front import Front
from moframework.pareto.rules import Compromise
from moframework.preferences.evaluation import evaluation_set
from moframework.run.simplex_search import Goal, search

__all__ = ["Feasible", "find_feasible"]

Array = NDArray[np.float64]

_SAME = 1e-6  # preferences are float32
_FINEST = 10  # halvings of a distance on the simplex: to 1/1000
_PAIRWISE = 5  # tasks up to which weight is moved from each other task by itself
_PULL, _PULLS = 0.1, 10  # share of the way to the inside, and how often it is gone


@frozen(eq=False)
class Feasible:
    """What meets some conditions.

    Attributes:
        vertices: (m, m), rows v_t; None where no point meets all conditions.
        whole: whether all of the simplex does; the vertices are its own then.
        seen: all points that were evaluated.
        misses: which conditions the nearest point misses and by how much, a text each, where no point meets all.
        nearest: its preference; None where there are vertices.
        alone: how far the column of each condition goes by itself, in words.
    """

    vertices: Array | None
    whole: bool
    seen: Front
    misses: tuple[str, ...] = ()
    nearest: tuple[float, ...] | None = None
    alone: str = ""


def find_feasible(
    conditions: Sequence[Condition],
    evaluate: Callable[[Tensor], Front],
    m: int,
    *,
    wanted: Tensor | None = None,
    halvings: int = _FINEST,
) -> Feasible:
    """Find the part of the simplex that meets conditions.

    The usual evaluation set of preferences is evaluated; where none of them meets the conditions, a search as of `pick`
    goes on for 30 more. From the points that do, weight is moved to each task in turn as far as the conditions hold, by
    halving the distance; all tasks at once, so that each round reads the data once.

    Args:
        conditions: at least one; see `Condition.read`.
        evaluate: from preferences (k, m) to their front.
        m: number of tasks, at least 2.
        wanted: preferences (n, m) of the part, in its own coordinates, that have to meet the conditions too. As long as
            one does not, the part is drawn together towards its inside, by a tenth, up to ten times.
        halvings: of the simplex's length, to which distances are found.
    """
    walk = _Walk(conditions, evaluate(evaluation_set(m)), evaluate)
    holds = walk.goal.holds(walk.seen)
    if not holds.any():
        walk.seen = search(walk.goal, evaluate)
        holds = walk.goal.holds(walk.seen)
    if not holds.any():
        row = walk.goal.nearest(walk.seen)
        return Feasible(
            vertices=None, whole=False, seen=walk.seen, misses=walk.goal.misses(walk.seen, row),
            nearest=tuple(walk.seen.preferences[row].tolist()), alone=walk.goal.each_alone(walk.seen),
        )  # fmt: skip
    if holds.all():
        return Feasible(vertices=np.eye(m), whole=True, seen=walk.seen)
    vertices = walk.corners(halvings)
    if wanted is not None:
        vertices = walk.drawn_together(vertices, wanted.double().numpy())
    return Feasible(vertices=vertices, whole=False, seen=walk.seen)


class _Walk:
    """Points that were evaluated so far, and the way from them to the vertices."""

    def __init__(self, conditions: Sequence[Condition], front: Front, evaluate: Callable[[Tensor], Front]) -> None:
        self.goal = Goal(Compromise(), conditions, front)
        self.seen, self.evaluate = front, evaluate

    def look(self, points: Array) -> NDArray[np.bool_]:
        """Whether each of these preferences (k, m) meets the conditions."""
        found = self.evaluate(torch.from_numpy(points).float())
        self.seen = self.seen.extended(found)
        return self.goal.holds(found)

    def corners(self, halvings: int) -> Array:
        """For each task the preference with the most weight on it that meets the conditions, (m, m)."""
        inside = self.seen.preferences[self.goal.holds(self.seen)]
        m = inside.shape[1]
        found = inside[np.argmax(inside, axis=0)]
        for sources in _sources(m):
            movable = (found * sources).sum(axis=1)
            low, high = np.zeros(m), self._known_outside(found, sources)
            share = np.where(high > 1, 1.0, high / 2)
            # `high` is beyond 1 as long as nothing is known of the whole way, 1.
            while (tried := (movable > 0) & (low < 1) & ((high - low) * movable > 0.5**halvings)).any():
                holds = self.look(_moved(found, sources, share)[tried])
                low[tried] = np.where(holds, share[tried], low[tried])
                high[tried] = np.where(holds, high[tried], share[tried])
                share = (low + high) / 2
            found = _moved(found, sources, low)
        return np.asarray(found)

    def _known_outside(self, points: Array, sources: Array) -> Array:
        """The least share (m,) of the way of each row to where it would go that is known not to do; 2 where none is."""
        outside = self.seen.preferences[~self.goal.holds(self.seen)]
        way = _moved(points, sources, np.ones(len(points))) - points
        shares = np.full(len(points), 2.0)
        for t in np.flatnonzero(np.abs(way).sum(axis=1) > 0):
            along = (outside - points[t]) @ way[t] / (way[t] @ way[t])
            beside = np.abs(points[t] + along[:, None] * way[t] - outside).max(axis=1)
            known = along[(beside < _SAME) & (along > 0) & (along <= 1 + _SAME)]
            shares[t] = min([2.0, *known])
        return shares

    def drawn_together(self, vertices: Array, wanted: Array) -> Array:
        """The vertices, moved towards the inside until all wanted points of their simplex meet the conditions."""
        for _ in range(_PULLS):
            if self.look(wanted @ vertices).all():
                break
            vertices = vertices + _PULL * (self._inside() - vertices)
        return vertices

    def _inside(self) -> Array:
        """The preference (m,) that meets the conditions and is farthest from those that do not."""
        holds = self.goal.holds(self.seen)
        inside, outside = self.seen.preferences[holds], self.seen.preferences[~holds]
        away = np.linalg.norm(inside[:, None] - outside[None], axis=2).min(axis=1)
        return np.asarray(inside[np.argmax(away)])


def _sources(m: int) -> list[Array]:
    """One after the other, where each task (row) gets weight from, (m, m): from each other task by itself, all tasks in
    another order, or where they are many from all others together."""
    if m > _PAIRWISE:
        return [1 - np.eye(m)]
    return [np.roll(np.eye(m), offset, axis=1) for offset in range(1, m)]


def _moved(points: Array, sources: Array, share: Array) -> Array:
    """Preferences (m, m), with a share (m,) of the weights at the sources of each row moved to the task of the row."""
    taken = points * sources * share[:, None]
    return np.asarray(np.maximum(points - taken, 0) + np.diag(taken.sum(axis=1)))
