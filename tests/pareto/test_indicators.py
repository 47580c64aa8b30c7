from __future__ import annotations

import itertools
import math
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pymoo.indicators.hv import HV
from pymoo.indicators.igd import IGD
from pymoo.indicators.igd_plus import IGDPlus
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting
from scipy import stats

from moframework.pareto import (
    angles,
    controllability,
    hypervolume,
    hypervolume_is_exact,
    igd,
    igd_plus,
    nondominated,
    nonuniformity,
)
from moframework.pareto.indicators import _estimated_hypervolume
from tests.pareto.fronts import Array, clouds, naive_nondominated

TASKS = st.integers(1, 5)


def naive_hypervolume(points: Array, reference: Array) -> float:
    """Inclusion and exclusion over all subsets: Σ (−1)^(|S|+1) of the volume below which all of S lie."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for subset in itertools.combinations(points, size):
            total += (-1) ** (size + 1) * float(np.prod(np.maximum(reference - np.max(subset, axis=0), 0)))
    return total


# --- dominance


@settings(max_examples=60, deadline=None)
@given(points=st.one_of(clouds(TASKS), clouds(TASKS, grid=True)))
def test_nondominated_is_the_definition(points: Array) -> None:
    before = points.copy()
    assert nondominated(points).tolist() == naive_nondominated(points)
    np.testing.assert_array_equal(points, before)


@pytest.mark.parametrize("m", [7, 31, 40, 100])
def test_nondominated_with_many_tasks(m: int) -> None:
    generator = np.random.default_rng(m)
    points = generator.integers(0, 2, size=(40, m)).astype(np.float64)
    points[20:] = np.maximum(points[:20], points[20:])
    assert nondominated(points).tolist() == naive_nondominated(points)
    assert not nondominated(points).all()


def test_nondominated_is_what_pymoo_finds() -> None:
    points = np.random.default_rng(0).random((300, 3))
    theirs = NonDominatedSorting().do(points, only_non_dominated_front=True)
    assert np.flatnonzero(nondominated(points)).tolist() == sorted(theirs)


@settings(max_examples=60, deadline=None)
@given(points=clouds(TASKS, grid=True))
def test_filtering_twice_changes_nothing(points: Array) -> None:
    once = points[nondominated(points)]
    assert len(once) > 0
    assert nondominated(once).all()


@settings(max_examples=60, deadline=None)
@given(points=clouds(TASKS, grid=True), data=st.data())
def test_order_does_not_matter_to_dominance(points: Array, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(points))))
    assert nondominated(points[order]).tolist() == nondominated(points)[order].tolist()


def test_all_duplicates_are_kept() -> None:
    assert nondominated([[1, 1], [1, 1], [0, 2], [1, 2], [1, 1]]).tolist() == [True, True, True, False, True]


def test_no_points() -> None:
    assert nondominated(np.zeros((0, 3))).tolist() == []
    assert hypervolume(np.zeros((0, 3)), [1, 1, 1]) == 0.0


def test_an_infinite_loss_is_dominated_and_has_no_volume() -> None:
    points = [[0.5, 0.5], [0.1, np.inf], [0.6, np.inf]]
    assert nondominated(points).tolist() == [True, True, False]
    assert hypervolume(points, [1, 1]) == pytest.approx(0.25)


# --- hypervolume


@pytest.mark.parametrize("m", [1, 2, 3, 5, 12, 20, 40])
def test_one_point_has_the_volume_of_its_box(m: int) -> None:
    point = np.linspace(0.2, 0.6, m)
    reference = np.linspace(1.0, 1.5, m)
    assert hypervolume([point], reference) == pytest.approx(np.prod(reference - point), rel=1e-12)


@pytest.mark.parametrize("k", [1, 2, 5, 50])
def test_a_staircase(k: int) -> None:
    # k steps from (0, (k−1)/k) to ((k−1)/k, 0) below (1, 1): all but the triangle of k(k−1)/2 cells under the steps
    points = [(i / k, (k - 1 - i) / k) for i in range(k)]
    assert hypervolume(points, (1, 1)) == pytest.approx(1 - k * (k - 1) / 2 / k**2, rel=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 6, 11])
def test_a_simplex_in_three_dimensions(k: int) -> None:
    # All points (a, b, c)/k with a + b + c = k − 1 dominate the cells of the unit cube above their plane: a cell with
    # corner (a, b, c)/k is left out when a + b + c < k − 1, and those are C(k+1, 3).
    points = [(a / k, b / k, (k - 1 - a - b) / k) for a in range(k) for b in range(k - a)]
    assert hypervolume(points, (1, 1, 1)) == pytest.approx(1 - math.comb(k + 1, 3) / k**3, rel=1e-12)


def test_the_quarter_circle_in_the_limit() -> None:
    # x² + y² = 1 seen from (1, 1): 1 − π/4 is not dominated by points inside; the staircase comes from below
    angle = np.linspace(0, np.pi / 2, 20001)
    points = 1 - np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert hypervolume(points, (1, 1)) == pytest.approx(np.pi / 4, rel=1e-4)


@settings(max_examples=60, deadline=None)
@given(points=clouds(TASKS, most=8))
def test_hypervolume_by_inclusion_and_exclusion(points: Array) -> None:
    reference = np.linspace(0.7, 1.1, points.shape[1])
    before = points.copy()
    assert hypervolume(points, reference) == pytest.approx(naive_hypervolume(points, reference), abs=1e-9)
    np.testing.assert_array_equal(points, before)


@pytest.mark.parametrize("m", [2, 3, 4, 6])
def test_hypervolume_is_that_of_pymoo(m: int) -> None:
    points = np.random.default_rng(m).random((60, m))
    assert hypervolume(points, np.full(m, 0.9)) == pytest.approx(float(HV(np.full(m, 0.9))(points)), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(points=clouds(TASKS), data=st.data())
def test_adding_a_point_never_lowers_hypervolume(points: Array, data: st.DataObject) -> None:
    more = np.vstack([points, data.draw(clouds(points.shape[1], most=1))])
    reference = np.full(points.shape[1], 0.8)
    assert hypervolume(more, reference) >= hypervolume(points, reference) - 1e-12


@settings(max_examples=60, deadline=None)
@given(points=clouds(TASKS), data=st.data())
def test_order_does_not_matter_to_hypervolume(points: Array, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(points))))
    reference = np.full(points.shape[1], 0.8)
    assert hypervolume(points[order], reference) == pytest.approx(hypervolume(points, reference), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(points=clouds(TASKS, grid=True))
def test_dominated_points_add_nothing(points: Array) -> None:
    reference = np.full(points.shape[1], 0.9)
    kept = hypervolume(points[nondominated(points)], reference)
    assert kept == pytest.approx(hypervolume(points, reference), abs=1e-12)


def test_points_beyond_the_reference_add_nothing() -> None:
    inside = [[0.5, 0.25]]
    assert hypervolume(inside, (1, 1)) == pytest.approx(0.375)
    for beyond in ([0.0, 1.0], [1.0, 0.0], [-5.0, 1.5], [2.0, 2.0], [0.1, 7.0]):
        assert hypervolume([*inside, beyond], (1, 1)) == pytest.approx(0.375)
        assert hypervolume([beyond], (1, 1)) == 0.0


# --- hypervolume of many tasks, estimated


def test_ordinary_fronts_are_exact() -> None:
    assert all(hypervolume_is_exact(n, m) for n, m in [(11, 2), (66, 3), (100_000, 4), (66, 7), (66, 8), (5, 12)])
    assert not any(hypervolume_is_exact(n, m) for n, m in [(66, 10), (81, 40), (2, 40)])


@pytest.mark.parametrize("m", [2, 3, 5, 7])
def test_the_estimate_is_near_where_the_exact_is_known(m: int) -> None:
    points = 1 - np.abs(np.random.default_rng(m).normal(size=(66, m))) / 3
    reference = np.ones(m)
    assert _estimated_hypervolume(points, reference) == pytest.approx(hypervolume(points, reference), rel=0.015)


@pytest.mark.parametrize("m", [10, 40])
def test_the_estimate_for_two_boxes(m: int) -> None:
    reference = np.ones(m)
    points = np.full((40, m), 0.5)
    points[0, 0], points[1, 1] = 0.3, 0.2
    points[2:, 2:4] = 0.8  # dominated
    both = 0.5 ** (m - 1)
    expected = 0.7 * both + 0.8 * both - 0.5 * both
    assert not hypervolume_is_exact(*points.shape)
    assert hypervolume(points, reference) == pytest.approx(expected, rel=0.01)


def test_the_estimate_is_the_same_each_time_and_in_any_order() -> None:
    points = np.random.default_rng(0).random((30, 12)) / 2
    first = hypervolume(points, np.ones(12))
    np.random.random(3)  # noqa: NPY002  the global generator plays no part
    assert hypervolume(points, np.ones(12)) == first
    assert hypervolume(points[::-1], np.ones(12)) == first
    assert not hypervolume_is_exact(*points.shape)


# --- distance from a true front


def test_distances_in_closed_form() -> None:
    front = [[0.0, 1.0], [1.0, 0.0]]
    assert igd(front, front) == igd_plus(front, front) == 0.0
    # nearest of both: (1, 1), one step away; in IGD+ only what is worse counts
    assert igd([[1.0, 1.0]], front) == igd_plus([[1.0, 1.0]], front) == 1.0
    assert igd([[-1.0, 1.0]], [[0.0, 1.0]]) == 1.0
    assert igd_plus([[-1.0, 1.0]], [[0.0, 1.0]]) == 0.0
    assert igd([[0.0, 1.0]], front) == pytest.approx(math.sqrt(2) / 2)


@pytest.mark.parametrize("m", [1, 2, 3, 40])
def test_distances_are_those_of_pymoo(m: int) -> None:
    generator = np.random.default_rng(m)
    found, front = generator.random((20, m)), generator.random((50, m))
    assert igd(found, front) == pytest.approx(float(IGD(front)(found)))
    assert igd_plus(found, front) == pytest.approx(float(IGDPlus(front)(found)))


# --- rank correlation


@settings(max_examples=60, deadline=None)
@given(points=clouds(TASKS, grid=True), data=st.data())
@pytest.mark.filterwarnings("ignore:An input array is constant")
def test_controllability_is_the_spearman_correlation_of_scipy(points: Array, data: st.DataObject) -> None:
    weights = data.draw(clouds(points.shape[1], grid=True).filter(lambda found: len(found) >= len(points)))
    weights = weights[: len(points)]
    ours = controllability(weights, points)
    if len(points) < 2:
        assert np.isnan(ours).all()
        return
    theirs = [stats.spearmanr(weights[:, t], points[:, t]).statistic for t in range(points.shape[1])]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_controllability_of_perfect_control_and_of_none() -> None:
    weights = np.stack([np.linspace(0, 1, 11), np.linspace(1, 0, 11)], axis=1)
    assert controllability(weights, np.exp(-weights)).tolist() == [-1.0, -1.0]
    assert controllability(weights, weights**3).tolist() == [1.0, 1.0]
    flat = np.stack([1 - weights[:, 0], np.ones(11)], axis=1)
    found = controllability(weights, flat)
    assert found[0] == -1.0
    assert math.isnan(found[1])


# --- non-uniformity


def test_nonuniformity_in_closed_form() -> None:
    # equal products: 0; all on one task: log m
    assert nonuniformity([[0.25, 0.75]], [[3.0, 1.0]]) == pytest.approx(0.0, abs=1e-12)
    assert nonuniformity([[1.0, 0.0]], [[3.0, 1.0]]) == pytest.approx(math.log(2))
    assert nonuniformity([[1, 0, 0], [0, 0, 1]], [[1, 2, 3], [4, 5, 6]]) == pytest.approx(math.log(3))
    # q = (.75, .25): .75 log 1.5 + .25 log .5
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert nonuniformity([[0.5, 0.5]], [[3.0, 1.0]]) == pytest.approx(expected)
    assert nonuniformity([[0.5, 0.5], [0.5, 0.5]], [[3.0, 1.0], [1.0, 1.0]]) == pytest.approx(expected / 2)


@settings(max_examples=60, deadline=None)
@given(points=clouds(st.integers(1, 6)), scale=st.floats(0.1, 10))
def test_nonuniformity_is_bounded_and_has_no_scale(points: Array, scale: float) -> None:
    points = points + 0.01
    m = points.shape[1]
    weights = np.full_like(points, 1 / m)
    found = nonuniformity(weights, points)
    assert -1e-12 <= found <= math.log(m) + 1e-12
    assert nonuniformity(weights, scale * points) == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize("losses", [[[0.0, 5.0]], [[-1.0, 1.0]], [[np.inf, 1.0]]])
def test_nonuniformity_is_nan_where_it_is_not_defined(losses: list[list[float]]) -> None:
    assert math.isnan(nonuniformity([[1.0, 0.0]], losses))


# --- wrong input


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nondominated([1.0, 2.0]), "losses must have shape (n, m)"),
        (lambda: nondominated(np.zeros((3, 0))), "losses must have shape (n, m)"),
        (lambda: nondominated([[1.0, 2.0], [3.0, math.nan]]), "losses: row 1, column 1 is nan"),
        (lambda: nondominated([[1.0, -math.inf]]), "losses: row 0, column 1 is -inf"),
        (lambda: hypervolume([[1, np.nan]], [2, 2]), "row 0, column 1 is nan"),
        (lambda: hypervolume([[1, 2]], [2, 2, 2]), "one number a task, 2"),
        (lambda: hypervolume([[1, 2]], 2.0), "one number a task, 2"),
        (lambda: hypervolume([[1, 2]], [2, np.nan]), "reference must be finite"),
        (lambda: hypervolume([[1, 2]], [2, np.inf]), "reference must be finite"),
        (lambda: igd([[1, 2]], [[1, 2, 3]]), "losses have 2 columns, the true front has 3"),
        (lambda: igd_plus(np.zeros((0, 2)), [[1, 2]]), "at least one point"),
        (lambda: controllability([[1, 0]], [[1, 0], [0, 1]]), "must have one shape"),
        (lambda: nonuniformity([[1, np.nan]], [[1, 0]]), "preferences: row 0, column 1 is nan"),
    ],
)
def test_wrong_input_is_refused(call: object, words: str) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match=re.escape(words)):
        call()


def test_importing_is_light() -> None:
    """The engine behind the indicators, torch and pandas are imported when they are used."""
    code = (
        "import sys, moframework.pareto; "
        "print(*sorted({'moocore', 'pymoo', 'torch', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_angles_to_the_rays_of_preferences() -> None:
    preferences = [[0.5, 0.5], [0.25, 0.75], [0.25, 0.75], [0.0, 1.0]]
    losses = [[2.0, 0.0], [3.0, 1.0], [1.0, 3.0], [1.0, 0.0]]
    ray = np.degrees(np.arctan2(1, 3))
    np.testing.assert_allclose(angles(preferences, losses, "preference"), [45, 90 - 2 * ray, 0, 90], atol=1e-9)
    # 1/λ ∝ (3, 1); of a preference of 0 the thousandfold of the other.
    np.testing.assert_allclose(angles(preferences, losses), [45, 0, 90 - 2 * ray, np.degrees(1e-3)], atol=1e-4)


def test_angles_that_are_not_defined_and_tiny_ones() -> None:
    assert np.isnan(angles([[0.5, 0.5]], [[0.0, 0.0]])).all()
    assert np.isnan(angles([[0.5, 0.5]], [[np.inf, 1.0]])).all()
    assert angles([[0.5, 0.5]], [[1.0, 1.0 + 2e-9]])[0] == pytest.approx(np.degrees(1e-9), rel=1e-4)
    with pytest.raises(ValueError, match="one shape"):
        angles([[0.5, 0.5]], [[1.0, 1.0, 1.0]])


def test_angles_agree_with_the_rays_of_objectives() -> None:
    from moframework.objectives.rays import rays

    preferences = np.random.default_rng(0).dirichlet(np.ones(3) * 0.3, 50)
    for direction in ("inverse", "preference"):
        on = rays(torch.from_numpy(preferences), direction).numpy()
        assert angles(preferences, 2 * on, direction).max() < 1e-6
