"""Search of the simplex for the best preference under conditions, in few evaluations of the model.

Bayesian optimization with conditions: a Gaussian process stands for each column that is asked about, and the next
preference is that with the largest expected improvement, times the probability that all conditions hold there. Source:
Gardner et al., Bayesian optimization with inequality constraints, ICML 2014. What is returned was evaluated; the
processes only say where to look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor

from moframework.pareto.conditions import Condition
from moframework.pareto.front import Front
from moframework.pareto.rules import Rule, Tradeoff
from moframework.pareto.surrogate import Surrogate
from moframework.preferences.simplex import lattice

__all__ = ["EVALUATIONS", "Goal", "search"]

Array = NDArray[np.float64]

EVALUATIONS = 30
"""Preferences that a search evaluates at most, unless told otherwise."""
_AT_ONCE = 3  # preferences that see the data in one pass
_CANDIDATES = 1000
_LOCAL = 400
_NEAR = 5  # points around which candidates are denser
_SMALLEST, _LARGEST = 1e-4, 0.2  # distances of those
_APART = 2e-6  # preferences are float32
_ENOUGH = 1e-4
"""Expected improvement, as a share of the spread of scores near the best, below which a search ends."""


@frozen
class Goal:
    """What is looked for: the best score of a rule among points that meet conditions.

    Attributes:
        front: the front that the search begins with; scales are taken from it.
    """

    rule: Rule
    conditions: Sequence[Condition]
    front: Front

    def scores(self, points: Front) -> Array:
        """(n,), the smallest is best; nan where a point cannot be chosen."""
        return self.rule.scores(points, self.front)

    def excesses(self, points: Front) -> Array:
        """By how much each condition is missed, (n, c), as a share of its column's range over the front."""
        columns, ranges = points.columns(), self.front.columns()
        found = np.zeros((len(points.losses), len(self.conditions)))
        for j, condition in enumerate(self.conditions):
            known = ranges[condition.column][~np.isnan(ranges[condition.column])]
            width = float(known.max() - known.min()) if len(known) else 0.0
            values = columns[condition.column]
            # On a bound that is excluded nothing is missed, but the condition does not hold.
            least = np.where(condition.holds(values), 0.0, np.finfo(np.float64).tiny)
            found[:, j] = np.maximum(condition.excess(values) / (width if width > 0 else 1.0), least)
        return found

    def holds(self, points: Front) -> NDArray[np.bool_]:
        """Whether each point meets all conditions, (n,)."""
        return np.asarray((self.excesses(points) == 0).all(axis=1))

    def best(self, points: Front) -> int | None:
        """The row with the best score among those that meet all conditions; None where none does."""
        scores = self.scores(points)
        allowed = self.holds(points) & ~np.isnan(scores)
        return int(np.argmin(np.where(allowed, scores, np.inf))) if allowed.any() else None

    def nearest(self, points: Front) -> int:
        """The row that misses the conditions least, all together."""
        return int(np.argmin(self.excesses(points).sum(axis=1)))

    def misses(self, points: Front, row: int) -> tuple[str, ...]:
        """In words, which conditions a row misses and by how much."""
        columns = points.columns()
        return tuple(
            f"{one} is missed by {float(one.excess(columns[one.column])[row]):.4g}, for it is "
            f"{columns[one.column][row]:.4g}"
            for one in self.conditions
            if not one.holds(columns[one.column])[row]
        )

    def each_alone(self, points: Front) -> str:
        """In words, how far the column of each condition goes by itself."""
        columns = points.columns()
        return "; ".join(f"{one.column} at best {one.best(columns[one.column]):.4g}" for one in self.conditions)


def search(goal: Goal, evaluate: Callable[[Tensor], Front], evaluations: int = EVALUATIONS) -> Front:
    """Refine a front where it matters for a goal.

    Args:
        goal: its front, whose points cost nothing, is begun with. Where its rule compares points with their neighbors
            (`Tradeoff`), or there is one task, nothing is evaluated.
        evaluate: from preferences (k, m) to their front.
        evaluations: preferences that are evaluated at most.

    Returns:
        all points, those that were evaluated last; the same at each call, for chance is seeded.
    """
    points, generator = goal.front, np.random.default_rng(0)
    if isinstance(goal.rule, Tradeoff) or len(points.tasks) == 1:
        return points
    while (left := evaluations - (len(points.losses) - len(goal.front.losses))) > 0:
        wanted = _proposals(goal, points, min(left, _AT_ONCE), generator)
        if not len(wanted):
            break
        points = points.extended(evaluate(torch.from_numpy(wanted).float()))
    return points


def _proposals(goal: Goal, points: Front, count: int, generator: np.random.Generator) -> Array:
    """The preferences (k, m) to evaluate next, at most `count`; none where nothing more is to be expected."""
    candidates = _candidates(goal, points, generator)
    columns, scores = points.columns(), goal.scores(points)
    used = [columns[condition.column] for condition in goal.conditions]
    known = np.isfinite(np.stack([scores, *used])).all(axis=0)
    if known.sum() < 2:
        return candidates[:0]
    best = goal.best(points)
    center = float(np.median(scores[known])) if best is None else float(scores[best])
    targets = [_Target.of(values[known], condition) for values, condition in zip(used, goal.conditions, strict=True)]
    objective = _Target.of(scores[known], center)
    fits: list[Surrogate | None] = [None] * (1 + len(targets))
    places, chosen = points.preferences[known], np.zeros((0, points.preferences.shape[1]))
    for _ in range(count):
        seen = np.concatenate([points.preferences, chosen])
        apart = (np.abs(candidates[:, None, :] - seen[None, :, :]).max(axis=2) > _APART).all(axis=1)
        candidates = candidates[apart]
        fits = [
            Surrogate.fit(places, target.values, like) for target, like in zip([objective, *targets], fits, strict=True)
        ]
        hopes, means = _hopes(cast("list[Surrogate]", fits), targets, candidates, improving=best is not None)
        row = int(np.argmax(hopes)) if len(hopes) else -1
        if row < 0 or (best is not None and hopes[row] < _ENOUGH):
            break
        chosen = np.concatenate([chosen, candidates[row : row + 1]])
        # Until it is evaluated, the mean stands for it, so that the next one is looked for elsewhere.
        places = np.concatenate([places, candidates[row : row + 1]])
        objective, *targets = [
            target.with_value(mean[row]) for target, mean in zip([objective, *targets], means, strict=True)
        ]
    return chosen


@frozen
class _Target:
    """Values of a column with their distance from what matters, squeezed (asinh) so that far ones do not count more
    than near ones; zero is the bound, or the best so far."""

    values: Array
    low: float
    high: float

    @classmethod
    def of(cls, values: Array, wanted: Condition | float) -> _Target:
        bound, sign, tolerance = (
            (wanted.bound, wanted.sign, wanted.tolerance) if isinstance(wanted, Condition) else (wanted, "<", 0.0)
        )
        distances = np.abs(values - bound)
        scale = float(np.median(distances))
        scale = scale if scale > 0 else float(distances.max()) or 1.0
        within = float(np.arcsinh(tolerance / scale))
        low = -np.inf if sign[0] == "<" else -within
        high = np.inf if sign[0] == ">" else within
        return cls(np.arcsinh((values - bound) / scale), low, high)

    def with_value(self, value: float) -> _Target:
        return _Target(np.append(self.values, value), self.low, self.high)


def _hopes(
    fits: Sequence[Surrogate], targets: Sequence[_Target], candidates: Array, *, improving: bool
) -> tuple[Array, list[Array]]:
    """How much is to be hoped for of each candidate (k,), and the mean that each value is expected to have there.

    `fits` are of the score and of each target.

    Where a point meets the conditions (`improving`), it is the expected improvement times the probability that they
    hold. Else it is less than 0 by what they would be missed by at best (two deviations), or where they may be met the
    probability.
    """
    fitted = [fit.at(candidates) for fit in fits]
    means = [mean for mean, _ in fitted]
    probability, missed = np.ones(len(candidates)), np.zeros(len(candidates))
    for target, (mean, deviation) in zip(targets, fitted[1:], strict=True):
        probability *= _normal((target.high - mean) / deviation) - _normal((target.low - mean) / deviation)
        missed += np.maximum(np.maximum(mean - target.high, target.low - mean) - 2 * deviation, 0)
    if not improving:
        return np.where(missed > 0, -missed, probability), means
    mean, deviation = fitted[0]
    z = -mean / deviation
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return deviation * (z * _normal(z) + density) * probability, means


def _normal(z: Array) -> Array:
    """The standard normal distribution function."""
    return np.asarray(torch.special.ndtr(torch.from_numpy(np.asarray(z))).numpy())


def _candidates(goal: Goal, points: Front, generator: np.random.Generator) -> Array:
    """Preferences (k, m) all over the simplex, and denser near the best points so far."""
    m = len(points.tasks)
    if m == 2:
        everywhere = lattice(2, _CANDIDATES).numpy()
    else:
        everywhere = np.concatenate([generator.dirichlet(np.ones(m), _CANDIDATES), np.eye(m)])
    # Those that meet the conditions by score, then the others by what they miss.
    missed, scores = goal.excesses(points).sum(axis=1), np.nan_to_num(goal.scores(points), nan=np.inf)
    near = points.preferences[np.lexsort((scores, missed))[:_NEAR]]
    steps = np.exp(generator.uniform(np.log(_SMALLEST), np.log(_LARGEST), (_LOCAL, 1)))
    around = near[generator.integers(0, len(near), _LOCAL)] + steps * generator.normal(size=(_LOCAL, m))
    around = np.maximum(around, 0)
    totals = around.sum(axis=1, keepdims=True)
    around = around[totals[:, 0] > 0] / totals[totals[:, 0] > 0]
    return np.concatenate([everywhere, around])
