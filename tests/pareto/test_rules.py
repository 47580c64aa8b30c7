from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from moframework.pareto.front import Front
from moframework.pareto.rules import (
    Compromise,
    Knee,
    Nearest,
    PseudoWeights,
    Rule,
    Tradeoff,
    Weights,
    high_tradeoff,
    rule_named,
)


def front_of(losses: list[list[float]]) -> Front:
    n, m = len(losses), len(losses[0])
    weights = np.linspace(0, 1, n)
    preferences = np.stack([weights, 1 - weights, *np.zeros((m - 2, n))], axis=1)
    return Front(tasks=("a", "b", "c")[:m], preferences=preferences, losses=losses, split="val")


# Scaled: (1, 0), (0.2, 0.1), (0.1, 0.4), (0, 1), and a dominated point, which the scale does not see.
BENT = front_of([[11, 2], [3, 3], [2, 6], [1, 12], [41, 42]])


@pytest.mark.parametrize(
    ("rule", "row"),
    [
        (Compromise(), 1),
        (Knee(), 1),
        (Tradeoff(), 1),
        (Weights({"a": 1}), 3),
        (Weights({"a": 4, "b": 1}), 2),
        (Weights({"b": 2}), 0),
        (PseudoWeights({"a": 1}), 3),
        (PseudoWeights({"a": 9, "b": 6}), 2),  # its shares are 0.9 and 0.6
        (Nearest({"a/loss": 2.2, "b/preference": 0.4}), 2),
    ],
)
def test_the_point_that_a_rule_chooses(rule: Rule, row: int) -> None:
    assert int(np.nanargmin(rule.scores(BENT, BENT))) == row
    assert rule.says


def of_pymoo(module: str, name: str) -> Any:
    """A class of pymoo, whose imports warn with scipy 1, and fail with 2."""
    with warnings.catch_warnings(action="ignore"):
        return getattr(pytest.importorskip(f"pymoo.mcdm.{module}", exc_type=ImportError), name)


def test_pseudo_weights_are_those_of_pymoo_on_a_front() -> None:
    angles = np.linspace(0, np.pi / 2, 9)
    losses = 1 - np.stack([np.sin(angles), np.cos(angles)], axis=1)
    front = front_of(losses.tolist())
    for weight in (0.1, 0.5, 0.8):
        theirs = of_pymoo("pseudo_weights", "PseudoWeights")(np.array([weight, 1 - weight])).do(losses)
        ours = PseudoWeights({"a": weight, "b": 1 - weight}).scores(front, front)
        assert int(np.argmin(ours)) == int(theirs)


def test_high_tradeoff_points_are_those_of_pymoo_where_it_finds_any() -> None:
    x = np.linspace(0, 1, 30)
    losses = np.stack([x, np.maximum(1 - 4 * x, (1 - x) / 6)], axis=1)
    with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
        theirs = of_pymoo("high_tradeoff", "HighTradeoffPoints")().do(losses)
    assert int(np.argmax(high_tradeoff(losses))) in np.atleast_1d(theirs).tolist()


@pytest.mark.parametrize("losses", [[[1.0, 2.0]], [[0.0, 1.0], [1.0, 0.0]], [[0.3, 0.3], [0.3, 0.3]]])
@pytest.mark.parametrize("rule", [Compromise(), Knee(), Tradeoff(), PseudoWeights({"a": 1}), Weights({"a": 1})])
def test_every_rule_has_an_answer_for_one_point_two_points_and_equal_ones(
    losses: list[list[float]], rule: Rule
) -> None:
    front = front_of(losses)
    assert np.isfinite(rule.scores(front, front)).any()


def test_a_straight_front_has_tradeoffs_of_one() -> None:
    x = np.linspace(0, 1, 11)
    np.testing.assert_allclose(high_tradeoff(np.stack([x, 1 - x], axis=1)), 1)


def test_names_are_checked() -> None:
    with pytest.raises(ValueError, match=r"no column 'left': .*allowed: a, b"):
        Weights({"left": 1}).scores(BENT, BENT)
    with pytest.raises(ValueError, match="no column 'a/los': did you mean 'a/loss'"):
        Nearest({"a/los": 1}).scores(BENT, BENT)
    with pytest.raises(ValueError, match="weights are non-negative and not all zero; got a = -1"):
        PseudoWeights({"a": -1}).scores(BENT, BENT)
    with pytest.raises(
        ValueError, match=r"there is no rule 'kne'; did you mean 'knee'\? rules: .*compromise, knee, tradeoff"
    ):
        rule_named("kne")
