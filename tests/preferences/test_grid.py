from __future__ import annotations

import pytest
import torch

from moframework.preferences.grid import Grid
from moframework.preferences.simplex import even
from tests.preferences.claims import assert_on_simplex, seeded


def test_two_tasks_ascend_in_even_steps() -> None:
    assert Grid().points(5, 2)[:, 0].tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(("count", "m"), [(1, 2), (5, 2), (6, 3), (5, 3), (8, 4), (41, 40)])
def test_every_step_draws_the_points(count: int, m: int) -> None:
    grid = Grid(margin=0.03)
    assert_on_simplex(grid.points(count, m), count, m)
    for progress in (0.001, 1.0):
        assert torch.equal(grid.draw(progress, count, m, seeded(int(10 * progress))), grid.points(count, m))


@pytest.mark.parametrize(("m", "least"), [(2, 0.1), (3, 0.1), (4, 0.075), (30, 0.01)])
def test_the_margin_is_the_least_weight(m: int, least: float) -> None:
    points = Grid(margin=0.1).points(m, m)
    assert points.min().item() == pytest.approx(least, rel=1e-6)
    assert torch.equal(Grid().points(m, m), even(m, m).float())


def test_a_grid_that_leaves_tasks_out_is_refused() -> None:
    with pytest.raises(ValueError, match="3 preferences do not reach all of 7 tasks: take at least 7"):
        Grid(per_batch=3).draw(0.5, 3, 7, seeded())
