from __future__ import annotations

import math

import pytest
import torch

from moframework.config.options import OptionError
from moframework.preferences.stratified import Stratified
from tests.preferences.claims import assert_on_simplex, assert_pure, seeded


def angles(rows: torch.Tensor) -> torch.Tensor:
    """Of preferences of two tasks, in [0, π/2]."""
    return torch.atan2(rows[:, 1].double(), rows[:, 0].double())


@pytest.mark.parametrize("count", [1, 4, 16])
@pytest.mark.parametrize("margin", [0.0, 0.1])
def test_two_tasks_have_one_angle_in_each_part(count: int, margin: float) -> None:
    schedule = Stratified(margin=margin)
    for seed in range(20):
        found = angles(schedule.draw(0.5, count, 2, seeded(seed)))
        parts = (found - margin) / (math.pi / 2 - 2 * margin) * count
        assert sorted(parts.floor().int().tolist()) == list(range(count))


def test_angles_are_uniform() -> None:
    drawn = torch.cat([Stratified().draw(1.0, 5, 2, seeded(seed)) for seed in range(400)])
    counts = torch.histc(angles(drawn), bins=10, min=0, max=math.pi / 2)
    assert (counts - 200).abs().max() < 45  # three standard deviations of independent draws


@pytest.mark.parametrize("m", [3, 7])
def test_directions_are_uniform_on_the_sphere_for_every_task(m: int) -> None:
    """Moments of |normal|/norm: E[u²] = 1/m, and E[u_s u_t] = 2/(πm), for every task and pair."""
    rows = torch.cat([Stratified().draw(0.5, 8, m, seeded(seed)) for seed in range(1500)]).double()
    units = rows / rows.norm(dim=1, keepdim=True)
    moments = units.T @ units / len(units)
    expected = torch.full((m, m), 2 / (math.pi * m), dtype=torch.float64).fill_diagonal_(1 / m)
    assert torch.allclose(moments, expected, atol=0.012 * 3 / m + 0.004)


def test_beyond_two_tasks_the_share_of_one_task_is_stratified() -> None:
    """For three tasks 1 − u is uniform for one coordinate u of a uniform direction: exactly one in each part."""
    rows = Stratified().draw(0.5, 8, 3, seeded()).double()
    units = rows / rows.norm(dim=1, keepdim=True)
    found = [sorted((8 * units[:, t]).floor().int().tolist()) for t in range(3)]
    assert list(range(8)) in found


@pytest.mark.parametrize(("count", "m"), [(1, 1), (3, 1), (1, 2), (5, 2), (16, 3), (2, 40)])
def test_rows_and_purity(count: int, m: int) -> None:
    assert_on_simplex(Stratified(margin=0.2).draw(0.3, count, m, seeded()), count, m)
    assert_pure(Stratified(), 0.3, count, m)
    assert Stratified().natural_count(m) == (1 if m == 1 else 5)


def test_margin_out_of_range_is_refused() -> None:
    with pytest.raises(OptionError, match="margin must be"):
        Stratified(margin=0.8)
