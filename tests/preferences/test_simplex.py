from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pymoo.util.ref_dirs import get_reference_directions

from moframework.preferences.simplex import even, inner_margin, inset, lattice, lattice_partitions, spread


def rows(points: torch.Tensor) -> set[tuple[float, ...]]:
    return {tuple(row) for row in np.round(points.numpy(), 12).tolist()}


@pytest.mark.parametrize(("m", "partitions"), [(2, 1), (2, 10), (3, 1), (3, 2), (3, 10), (4, 5), (7, 3)])
def test_the_lattice_is_that_of_pymoo(m: int, partitions: int) -> None:
    ours = lattice(m, partitions)
    theirs = get_reference_directions("das-dennis", m, n_partitions=partitions)
    assert len(ours) == math.comb(partitions + m - 1, m - 1) == len(theirs)
    assert rows(ours) == rows(torch.from_numpy(theirs))


@settings(max_examples=60, deadline=None)
@given(m=st.integers(1, 6), partitions=st.integers(1, 6))
def test_lattice_rows_ascend_and_their_number_tells_the_partitions(m: int, partitions: int) -> None:
    points = lattice(m, partitions)
    assert points.dtype == torch.float64
    assert points.tolist() == sorted(points.tolist())
    torch.testing.assert_close(points.sum(dim=1), torch.ones(len(points), dtype=torch.float64))
    assert lattice_partitions(m, len(points)) == (partitions if m > 1 else 1)


def test_lattice_arguments_out_of_range_are_refused() -> None:
    for m, partitions in ((0, 1), (2, 0)):
        with pytest.raises(ValueError, match="of at least 1"):
            lattice(m, partitions)


@pytest.mark.parametrize("m", [2, 3, 4, 7, 20, 40])
def test_a_spread_begins_with_vertices_center_and_halfway_points(m: int) -> None:
    points = spread(2 * m + 5, m)
    vertices, center = torch.eye(m, dtype=torch.float64), torch.full((m,), 1 / m, dtype=torch.float64)
    assert torch.equal(points[:m], vertices)
    torch.testing.assert_close(points[m], center)
    torch.testing.assert_close(points[m + 1 : 2 * m + 1], (vertices + center) / 2)


@pytest.mark.parametrize("m", [3, 4, 7, 20, 40])
def test_a_spread_is_spread(m: int) -> None:
    points = spread(max(66, 2 * m + 1), m)
    assert len(rows(points)) == len(points)
    torch.testing.assert_close(points.sum(dim=1), torch.ones(len(points), dtype=torch.float64))
    assert (points >= 0).all()
    assert (points.mean(dim=0) * m - 1).abs().max() < 0.15  # no task is favored
    assert 0.45 < (points > 0).all(dim=1).double().mean() < 0.75  # border and inside
    # better than chance: uniform points of the same number have a nearest pair far closer
    generator = np.random.default_rng(0)
    chance = [torch.pdist(torch.from_numpy(generator.dirichlet(np.ones(m), len(points)))).min() for _ in range(5)]
    assert torch.pdist(points).min() > 1.5 * max(chance)


@pytest.mark.parametrize("m", [3, 4, 7])
def test_a_larger_spread_begins_with_the_smaller(m: int) -> None:
    assert torch.equal(spread(90, m)[:31], spread(31, m))


def test_a_large_spread_has_points_enough() -> None:
    assert len(rows(spread(4000, 3))) == 4000


@pytest.mark.parametrize(("count", "m"), [(0, 2), (2, 3), (6, 7)])
def test_too_few_points_for_all_tasks_are_refused(count: int, m: int) -> None:
    with pytest.raises(ValueError, match=f"{count} preferences do not reach all of {m} tasks"):
        even(count, m)


def test_no_task_is_refused() -> None:
    with pytest.raises(ValueError, match="number of tasks, must be at least 1"):
        even(1, 0)


@pytest.mark.parametrize("m", [1, 2, 5])
def test_one_point_is_the_center(m: int) -> None:
    torch.testing.assert_close(even(1, m), torch.full((1, m), 1 / m, dtype=torch.float64))


def test_even_uses_a_lattice_where_there_is_one() -> None:
    assert torch.equal(even(11, 2), lattice(2, 10))
    assert torch.equal(even(66, 3), lattice(3, 10))
    assert torch.equal(even(67, 3), spread(67, 3))
    assert torch.equal(even(10, 4), spread(10, 4))


@settings(max_examples=60, deadline=None)
@given(m=st.integers(1, 60), margin=st.floats(0, 0.29))
def test_the_inner_margin_leaves_room_for_every_number_of_tasks(m: int, margin: float) -> None:
    least = inner_margin(margin, m)
    assert 0 <= least * m < 1
    assert least == margin if m <= 3 else least <= margin
    points = torch.eye(m, dtype=torch.float64)
    moved = inset(points, margin)
    assert moved.min().item() == pytest.approx(least if m > 1 else 1.0)
    torch.testing.assert_close(moved.sum(dim=1), torch.ones(m, dtype=torch.float64))
    assert torch.equal(points, torch.eye(m, dtype=torch.float64))


@pytest.mark.parametrize(("count", "m"), [(10**9, 4), (10**18, 3), (200, 101), (9000, 3)])
def test_too_many_points_to_be_spread_are_refused_before_any_is_made(count: int, m: int) -> None:
    with pytest.raises(ValueError, match=r"preferences for \d+ tasks are too many to be spread"):
        spread(count, m)


def test_even_steps_of_two_tasks_are_counted_at_once() -> None:
    assert lattice_partitions(2, 10**18) == 10**18 - 1
    assert lattice_partitions(2, 1) is None
