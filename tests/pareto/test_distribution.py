"""Where points of a front lie: hand-worked values, second formulas, pymoo's and moocore's."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from typing import Any

import moocore
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymoo.indicators.spacing import SpacingIndicator

from moframework.pareto import cross_angle, gap, nondominated, normalized, r2, spacing, span, sparsity, spread
from tests.pareto.fronts import Array, clouds, example

POINTS = [[0.0, 7.0], [1.0, 6.0], [4.0, 2.0], [5.0, 1.0]]
SHAPES = (spacing, sparsity, span, spread, gap)


def kept(points: Array) -> Array:
    """The distinct non-dominated points, by the definition of each."""
    best = points[nondominated(points)]
    return np.array([row for k, row in enumerate(best) if not any((row == other).all() for other in best[:k])])


# --- by hand


def test_by_hand() -> None:
    # sums of absolute differences to the nearest neighbor: 2, 2, 2, 2; steps (1, 1), (3, 4), (1, 1)
    assert spacing(POINTS) == 0.0
    assert sparsity(POINTS) == pytest.approx((1 + 9 + 1 + 1 + 16 + 1) / 3)
    assert span(POINTS) == 5.0
    assert spread(POINTS) == pytest.approx(math.sqrt(25 + 36))
    assert gap(POINTS) == 5.0
    # distances 2, 2, 7: mean 11/3, squares 25/9, 25/9, 100/9
    assert spacing([[0, 9], [1, 8], [5, 5]]) == pytest.approx(math.sqrt(150 / 9 / 2))


def test_what_a_single_point_has() -> None:
    for points in ([[1.0, 2.0]], [[1.0, 2.0]] * 3, [[1.0, 2.0], [2.0, 2.0]], [[3.0]]):
        assert [found(points) for found in (span, spread)] == [0.0, 0.0]
        assert all(math.isnan(found(points)) for found in (spacing, sparsity, gap))


@pytest.mark.parametrize("m", [1, 2, 3, 40])
def test_dominated_points_and_duplicates_change_nothing(m: int) -> None:
    points = np.random.default_rng(m).random((12, m))
    more = np.concatenate([points[::-1], points, points.max(axis=0, keepdims=True) + 0.1])
    for found in SHAPES:
        assert found(more) == pytest.approx(found(points), nan_ok=True)


# --- second formulas


@settings(max_examples=50, deadline=None)
@given(points=st.one_of(clouds(st.integers(1, 4)), clouds(st.integers(1, 4), grid=True)))
def test_second_formulas(points: Array) -> None:
    best = kept(points)
    wide = [max(column) - min(column) for column in best.T]
    assert span(points) == min(wide)
    assert spread(points) == pytest.approx(math.sqrt(sum(one**2 for one in wide)))
    if len(best) < 2:
        return
    near = [min(float(np.abs(a - b).sum()) for k, b in enumerate(best) if k != j) for j, a in enumerate(best)]
    mean = sum(near) / len(near)
    assert spacing(points) == pytest.approx(math.sqrt(sum((one - mean) ** 2 for one in near) / (len(near) - 1)))
    steps = [sum((b - a) ** 2 for a, b in itertools.pairwise(sorted(column))) for column in best.T.tolist()]
    assert sparsity(points) == pytest.approx(sum(steps) / (len(best) - 1))


@settings(max_examples=50, deadline=None)
@given(points=clouds(2))
def test_the_gap_of_two_tasks_is_that_of_neighbors(points: Array) -> None:
    best = kept(points)
    best = best[np.argsort(best[:, 0])]
    if len(best) > 1:
        assert gap(points) == pytest.approx(max(math.dist(a, b) for a, b in itertools.pairwise(best)))


def test_points_that_lie_close_together_have_a_gap() -> None:
    """SciPy's tree takes distances up to 1e-8 in a dense array for no edge."""
    assert gap([[0.0, 2e-9], [2e-9, 0.0]]) == pytest.approx(2e-9 * math.sqrt(2), rel=1e-12)
    assert gap([[0.0, 3e-9], [1e-9, 2e-9], [3e-9, 0.0]]) == pytest.approx(2e-9 * math.sqrt(2), rel=1e-12)
    # Squares of such distances underflow:
    assert gap([[0.0, 1e-200], [1e-200, 0.0]]) == 0
    assert gap([[0.0, 1.0 + 1e-200], [1e-200, 1.0], [1.0, 0.0]]) == pytest.approx(math.sqrt(2))


@pytest.mark.parametrize("m", [2, 3, 40])
def test_at_the_gap_the_front_falls_apart(m: int) -> None:
    """Points nearer than the gap do not hang together; with those at the gap they do."""
    best = kept(np.random.default_rng(m).random((15, m)))
    edges = sorted((math.dist(best[i], best[j]), i, j) for i, j in itertools.combinations(range(len(best)), 2))
    group = list(range(len(best)))
    joining = 0.0
    for length, i, j in edges:
        if group[i] != group[j]:
            joining, old = length, group[j]
            group = [group[i] if one == old else one for one in group]
    assert gap(best) == pytest.approx(joining)


# --- other libraries


@pytest.mark.parametrize("m", [2, 3, 40])
def test_spacing_is_that_of_pymoo_but_for_the_denominator(m: int) -> None:
    best = kept(np.random.default_rng(m).random((20, m)))
    n = len(best)
    assert spacing(best) == pytest.approx(float(SpacingIndicator()(best)) * math.sqrt(n / (n - 1)))


@settings(max_examples=50, deadline=None)
@given(points=clouds(2))
def test_r2_of_two_tasks_is_that_of_moocore_and_of_weights(points: Array) -> None:
    assert r2(points, [0, 0]) == pytest.approx(moocore.r2_exact(points, ref=0))
    w = (np.arange(4000) + 0.5) / 4000
    weighted = np.maximum(w[:, None] * points[:, 0], (1 - w)[:, None] * points[:, 1])
    assert r2(points, [0, 0]) == pytest.approx(float(weighted.min(axis=1).mean()), abs=1e-3)


@pytest.mark.parametrize("m", [1, 2, 3, 5, 40])
def test_r2_of_one_point_in_closed_form(m: int) -> None:
    """The largest of m weights, drawn evenly from the simplex, is (1 + 1/2 + … + 1/m)/m in the mean."""
    expected = sum(1 / k for k in range(1, m + 1)) / m
    assert r2(np.full((1, m), 3.0), np.ones(m)) == pytest.approx(2 * expected, rel=0.002)


@pytest.mark.parametrize("m", [1, 2, 3, 40])
def test_r2_agrees_with_dominance(m: int) -> None:
    points = np.random.default_rng(m).random((9, m)) + 0.5
    base = r2(points, np.zeros(m))
    assert r2(np.concatenate([points, points]), np.zeros(m)) == pytest.approx(base, rel=1e-12)
    assert r2(points - 0.01, np.zeros(m)) < base
    assert r2(np.concatenate([points, points + 1]), np.zeros(m)) == pytest.approx(base, rel=1e-12)
    lost = points.copy()
    lost[0, 0] = np.inf
    assert r2(lost, np.zeros(m)) >= base
    assert r2(np.full((2, m), np.inf), np.zeros(m)) == math.inf


@pytest.mark.parametrize("m", [2, 3, 40])
def test_cross_angle_by_the_cosine(m: int) -> None:
    generator = np.random.default_rng(m)
    preferences, losses = generator.dirichlet(np.ones(m), 9), generator.random((9, m))
    lengths = np.linalg.norm(preferences, axis=1) * np.linalg.norm(losses, axis=1)
    cosines = (preferences * losses).sum(axis=1) / lengths
    assert cross_angle(preferences, losses) == pytest.approx(np.degrees(np.arccos(cosines)).mean())
    assert cross_angle(1 / losses, losses, "inverse") == pytest.approx(0, abs=1e-5)
    assert math.isnan(cross_angle([[0.5, 0.5]], [[0.0, 0.0]]))


# --- normalized, and on fronts


def test_normalized_losses_have_no_scale() -> None:
    points = np.random.default_rng(0).random((10, 3))
    factors, shift = np.array([1.0, 100.0, 1e-3]), np.array([0.0, 5.0, -2.0])
    one = normalized(points, points.min(axis=0), points.max(axis=0))
    other = points * factors + shift
    np.testing.assert_allclose(normalized(other, other.min(axis=0), other.max(axis=0)), one, atol=1e-9)
    assert (one.min(), one.max()) == (0.0, 1.0)
    # a task that never changes keeps its differences
    assert normalized([[2.0, 1.0], [3.0, 5.0]], [2.0, 1.0], [2.0, 5.0]).tolist() == [[0.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize("m", [2, 3, 40])
def test_fronts_have_them_as_methods(m: int) -> None:
    front = example(m, true_front=np.full((1, m), 0.1))
    for found in SHAPES:
        assert getattr(front, found.__name__)() == found(front.losses)
    assert front.r2() == r2(front.losses, np.full(m, 0.1))
    assert front.r2([0] * m) == r2(front.losses, np.zeros(m))
    assert front.cross_angle() == cross_angle(front.preferences, front.losses)
    assert front.cross_angle("inverse") == pytest.approx(front.angles().mean())
    half = front.normalized([0] * m, [2] * m)
    assert half.spread() == pytest.approx(front.spread() / 2)
    assert half.reference == (0.5,) * m
    assert half.igd() == pytest.approx((front.igd() or 0) / 2)
    if m == 2:
        assert half.hypervolume() == pytest.approx(front.hypervolume() / 4)
    with pytest.raises(ValueError, match="give an ideal point"):
        example(m).r2()


# --- wrong input


@pytest.mark.parametrize("found", SHAPES)
@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([1.0, 2.0], "losses must have shape (n, m)"),
        (np.zeros((0, 2)), "at least one point"),
        ([[1.0, 2.0], [3.0, math.nan]], "losses: row 1, column 1 is nan"),
        ([[1.0, 2.0], [math.inf, 0.0]], "losses: row 1, column 0 is inf"),
    ],
)
def test_wrong_losses_are_refused(found: Callable[[Any], float], losses: Any, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        found(losses)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: normalized([[1, 2]], [0], [1, 1]), "the ideal must have one number a task, 2"),
        (lambda: normalized([[1, 2]], [0, 0], [1, math.inf]), "the nadir must be finite"),
        (lambda: normalized([[1, 2]], [0, 3], [1, 2]), "in column 1 it is 2 < 3"),
        (lambda: cross_angle([[1, 0]], [[1, math.inf]]), "row 0, column 1 is inf"),
        (lambda: cross_angle([[1, 0]], [[1, 0, 0]]), "must have one shape"),
        (lambda: cross_angle(np.zeros((0, 2)), np.zeros((0, 2))), "at least one point"),
        (lambda: r2([[1, 2]], [0, 3]), "row 0, column 1 is 2, below the ideal 3"),
        (lambda: r2([[1, 2]], [0]), "must be 2 finite numbers"),
        (lambda: r2([[1, 2]], [0, math.nan]), "must be 2 finite numbers"),
        (lambda: r2(np.zeros((0, 2)), [0, 0]), "at least one point"),
        (lambda: r2([[1, math.nan]], [0, 0]), "row 0, column 1 is nan"),
    ],
)
def test_wrong_input_is_refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        call()
