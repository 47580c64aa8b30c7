"""Rules by which one point of a front is chosen: each gives every point a score, of which the smallest is best.

All but `Column` and `Nearest` look at losses, scaled so that over the non-dominated points of a front each runs from 0,
the ideal point, to 1, the nadir point; a loss that is the same at all of them stays as it is, less its minimum.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from moframework.errors import nearest, shortened
from moframework.pareto.conditions import column, column_name
from moframework.pareto.front import Front

__all__ = [
    "RULES",
    "Column",
    "Compromise",
    "Knee",
    "Nearest",
    "PseudoWeights",
    "Rule",
    "Tradeoff",
    "Weights",
    "high_tradeoff",
    "rule_named",
]

Array = NDArray[np.float64]


class Rule(ABC):
    """What makes one point of a front better than another."""

    @abstractmethod
    def scores(self, points: Front, front: Front) -> Array:
        """The score of each of n points, (n,), smallest first; nan where a point cannot be chosen.

        Args:
            points: what is compared.
            front: what their scale is taken from: the ranges of its non-dominated points.

        Raises:
            ValueError: the rule names columns or tasks that there are not.
        """

    @property
    @abstractmethod
    def says(self) -> str:
        """The rule in words."""


@frozen
class Column(Rule):
    """The best value of one column: its largest with `upwards`, else its smallest."""

    name: str
    upwards: bool

    def scores(self, points: Front, front: Front) -> Array:
        """Values, with their sign changed where the largest is best."""
        values = column(points.columns(), self.name)
        return -values if self.upwards else values

    @property
    def says(self) -> str:
        """`largest left/accuracy`."""
        return f"{'largest' if self.upwards else 'smallest'} {self.name}"


@frozen
class Compromise(Rule):
    """The smallest Euclidean distance to the ideal point, of scaled losses."""

    def scores(self, points: Front, front: Front) -> Array:
        """Distances."""
        return np.asarray(np.linalg.norm(scaled(points, front), axis=1))

    @property
    def says(self) -> str:
        """In words."""
        return "compromise: the smallest distance to the ideal point, of losses scaled to [0, 1] over the front"


@frozen
class Knee(Rule):
    """The point that lies farthest below the plane through the ends of the front, Σ f = 1 of scaled losses.

    Source: Das, Structural Optimization 18, 1999. On a front that bulges the other way it is one of the ends.
    """

    def scores(self, points: Front, front: Front) -> Array:
        """Signed distances from the plane, negative below it."""
        losses = scaled(points, front)
        return np.asarray((losses.sum(axis=1) - 1) / np.sqrt(losses.shape[1]))

    @property
    def says(self) -> str:
        """In words."""
        return "knee: farthest below the plane through the ends of the front, of losses scaled to [0, 1]"


@frozen
class Weights(Rule):
    """The smallest weighted sum of scaled losses."""

    weights: Mapping[str, float]
    """By task; those that are not named have 0."""

    def scores(self, points: Front, front: Front) -> Array:
        """Weighted sums."""
        return np.asarray(scaled(points, front) @ _by_task(self.weights, points.tasks))

    @property
    def says(self) -> str:
        """In words."""
        return f"smallest weighted sum of scaled losses ({_told(self.weights)})"


@frozen
class PseudoWeights(Rule):
    """The point whose pseudo-weights are nearest to these (sum of absolute differences).

    The pseudo-weight of a task is its distance from the nadir as a share of those of all tasks: w_t = (1 − f_t) /
    Σ_s (1 − f_s) of scaled losses f, at least 0. Source: Deb, Multi-Objective Optimization Using Evolutionary
    Algorithms, 2001, section 8.6. A point with no such distance in any task cannot be chosen (pymoo's form divides by 0
    there, and may prefer points that are worst in everything); beyond the front of reference distances are cut at 0.
    """

    weights: Mapping[str, float]
    """By task, scaled to sum to 1; those that are not named have 0."""

    def scores(self, points: Front, front: Front) -> Array:
        """Differences; nan where no loss is better than the nadir."""
        gains = np.maximum(1 - scaled(points, front), 0)
        totals = gains.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = np.where(totals > 0, gains / totals, np.nan)
        return np.asarray(np.abs(found - _by_task(self.weights, points.tasks)).sum(axis=1))

    @property
    def says(self) -> str:
        """In words."""
        return f"pseudo-weights nearest to {_told(self.weights)}"


@frozen
class Nearest(Rule):
    """The point nearest to wanted values of columns (Euclidean), each difference as a share of the column's range over
    the front."""

    values: Mapping[str, float]

    def scores(self, points: Front, front: Front) -> Array:
        """Distances; nan where a column is."""
        mine, ranges = points.columns(), front.columns()
        parts = []
        for name, value in self.values.items():
            column_name(name, mine)
            width = float(np.nanmax(ranges[name]) - np.nanmin(ranges[name])) if not _empty(ranges[name]) else 0.0
            parts.append((mine[name] - value) / (width if width > 0 else 1.0))
        return np.asarray(np.linalg.norm(np.stack(parts, axis=1), axis=1))

    @property
    def says(self) -> str:
        """In words."""
        return f"nearest to {_told(self.values)}"


@frozen
class Tradeoff(Rule):
    """The high trade-off point: leaving it, what is lost is large for what is gained (`high_tradeoff`)."""

    def scores(self, points: Front, front: Front) -> Array:
        """The reciprocal of what is lost for a unit of gain; nan for points that are dominated."""
        kept = points.nondominated()
        scores = np.full(len(kept), np.nan)
        with np.errstate(divide="ignore"):
            scores[kept] = 1 / high_tradeoff(scaled(points, front)[kept])
        return scores

    @property
    def says(self) -> str:
        """In words."""
        return "high trade-off: the least that is lost for a unit gained elsewhere is largest"


def scaled(points: Front, front: Front) -> Array:
    """Losses (n, m) of points in units of the range of a front's non-dominated points, from the ideal on."""
    best = front.losses[front.nondominated()]
    ideal = best.min(axis=0)
    width = best.max(axis=0) - ideal
    return np.asarray((points.losses - ideal) / np.where(width > 0, width, 1.0))


def high_tradeoff(losses: Array, radius: float = 0.125) -> Array:
    """For each point (n,) the least that is lost for a unit gained, by going to one of its neighbors.

    Those within `radius` are neighbors, and at least the 2m nearest. With d the differences of losses, it is the
    minimum over neighbors of Σ max(d, 0) / Σ max(−d, 0): infinite where no neighbor gains anything, and for a single
    point. It is the measure behind pymoo's `HighTradeoffPoints`, without what that has around it: a test for outliers,
    which returns None on straight fronts and fails where there are few points or neighbors are equal.

    Source: Rachmawati, Srinivasan, IEEE Trans. Evol. Comput. 13(4), 2009.

    Args:
        losses: (n, m), scaled, of non-dominated points.
        radius: of the neighborhood.

    >>> high_tradeoff(np.array([[0.0, 1.0], [0.1, 0.1], [1.0, 0.0]])).round(2).tolist()
    [0.11, 9.0, 0.11]
    """
    n, m = losses.shape
    found = np.full(n, np.inf)
    for row in range(n):
        differences = np.delete(losses - losses[row], row, axis=0)
        distances = np.linalg.norm(differences, axis=1)
        near = distances <= radius
        near[np.argsort(distances, kind="stable")[: 2 * m]] = True
        gain = np.maximum(-differences[near], 0).sum(axis=1)
        lost = np.maximum(differences[near], 0).sum(axis=1)
        if (gain > 0).any():
            found[row] = (lost[gain > 0] / gain[gain > 0]).min()
    return found


RULES: Mapping[str, type[Rule]] = {"compromise": Compromise, "knee": Knee, "tradeoff": Tradeoff}
"""Rules that need no values, by name."""


def rule_named(rule: str) -> Rule:
    """`compromise`, `knee` or `tradeoff` as a rule. Raises ValueError for other names, with the nearest one."""
    try:
        return RULES[column_name(rule, RULES)]()
    except ValueError:
        known = ["maximize COLUMN", "minimize COLUMN", *RULES]
        guess = nearest(rule.split(" ")[0], ["maximize", "minimize", *RULES])
        hint = f"did you mean '{' '.join([guess, *rule.split(' ')[1:]])}'? " if guess else ""
        raise ValueError(f"there is no rule '{shortened(rule)}'; {hint}rules: {', '.join(known)}") from None


def _by_task(weights: Mapping[str, float], tasks: Sequence[str]) -> Array:
    for task in weights:
        column_name(task, tasks)
    given = np.array([float(weights.get(task, 0.0)) for task in tasks])
    if not np.isfinite(given).all() or (given < 0).any() or given.sum() <= 0:
        raise ValueError(f"weights are non-negative and not all zero; got {_told(weights)}")
    return np.asarray(given / given.sum())


def _told(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in values.items())


def _empty(values: Array) -> bool:
    return bool(np.isnan(values).all())
