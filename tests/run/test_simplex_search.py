"""The search of the simplex, on fronts that are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike
from torch import Tensor

from moframework.pareto.conditions import read_conditions
from moframework.pareto.front import Front
from moframework.pareto.rules import Column, Compromise, Rule, Tradeoff
from moframework.preferences import evaluation_set
from moframework.run.simplex_search import Goal, search

TASKS = ("a", "b", "c")


def front_at(preferences: ArrayLike | Tensor) -> Front:
    """Losses (1 − λ_t)², and an accuracy of 1 − loss in steps of a hundredth of a percent, as of 10,000 samples."""
    weights = np.asarray(preferences, dtype=np.float64)
    tasks, losses = TASKS[: weights.shape[1]], (1 - weights) ** 2
    metrics = {f"{task}/accuracy": np.floor((1 - losses[:, t]) * 1e4) / 1e4 for t, task in enumerate(tasks)}
    return Front(
        tasks=tasks, preferences=weights, losses=losses, metrics=metrics,
        higher_is_better=dict.fromkeys(metrics, True), split="val",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("m", "where", "rule", "best"),
    [
        # a/loss is at most 0.37 where λ_a is at least 1 − √0.37: then b/loss is (1 − √0.37)'s complement, squared.
        (2, ["a/loss <= 0.37"], Column("b/loss", upwards=False), (1 - np.sqrt(0.37)) ** 2),
        (2, ["a/accuracy >= 0.943"], Column("b/accuracy", upwards=True), -(1 - (1 - np.sqrt(0.057)) ** 2)),
        (2, ["b/loss = 0.123 ± 0.002"], Column("a/loss", upwards=False), (1 - np.sqrt(0.125)) ** 2),
        (2, [], Compromise(), np.sqrt(2) * 0.25),
        # Both conditions hold with equality at the best point.
        (3, ["a/loss <= 0.4", "b/loss <= 0.5"], Column("c/loss", upwards=False),
         (2 - np.sqrt(0.4) - np.sqrt(0.5)) ** 2),
    ],
)  # fmt: skip
def test_the_best_point_is_found_in_thirty_evaluations(m: int, where: list[str], rule: Rule, best: float) -> None:
    begin = front_at(evaluation_set(m))
    asked = []

    def evaluate(preferences: Tensor) -> Front:
        asked.extend(preferences.tolist())
        assert (preferences >= 0).all()
        np.testing.assert_allclose(preferences.sum(1), 1, rtol=1e-6)
        return front_at(preferences)

    goal = Goal(rule, read_conditions(where, list(begin.columns())), begin)
    points = search(goal, evaluate)
    row = goal.best(points)
    assert row is not None
    assert goal.scores(points)[row] == pytest.approx(best, abs=0.002)
    assert len(asked) <= 30
    assert len(points.losses) == len(begin.losses) + len(asked)
    assert search(goal, front_at).to_json() == points.to_json()  # again the same


def test_a_grid_that_misses_the_only_points_that_will_do() -> None:
    begin = front_at(evaluation_set(2, 3))
    goal = Goal(Compromise(), read_conditions(["a/loss <= 0.1", "b/loss <= 0.5"], list(begin.columns())), begin)
    assert goal.best(begin) is None  # only λ_a from 0.684 to 0.707
    points = search(goal, front_at)
    row = goal.best(points)
    assert row is not None
    assert 1 - np.sqrt(0.1) <= points.preferences[row, 0] <= np.sqrt(0.5)


def test_where_nothing_will_do_the_nearest_miss_is_found() -> None:
    begin = front_at(evaluation_set(2))
    goal = Goal(Compromise(), read_conditions(["a/loss <= 0.1", "b/loss <= 0.1"], list(begin.columns())), begin)
    points = search(goal, front_at)
    assert goal.best(points) is None
    # Losses are convex in λ: at one of two equal bounds the other is missed by 0.3675, in the middle both by 0.15.
    assert points.preferences[goal.nearest(points), 0] == pytest.approx(0.5, abs=0.01)


def test_what_is_not_searched() -> None:
    begin = front_at(evaluation_set(2))
    assert search(Goal(Tradeoff(), [], begin), front_at) is begin
    assert search(Goal(Compromise(), [], begin), front_at, evaluations=0) is begin
    one = front_at([[1.0]])
    assert search(Goal(Compromise(), [], one), front_at) is one
