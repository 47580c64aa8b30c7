"""Schedules that adapt: what is expected between what was tried, and points that spread over an uneven front."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from moframework.preferences.adaptive import Adaptive
from moframework.preferences.front_model import distances, expected_losses, scaled
from moframework.preferences.maximin import Maximin, maximin, spread_over
from moframework.preferences.optimized import Optimized, energy
from moframework.preferences.simplex import even
from tests.preferences.claims import assert_on_simplex, assert_pure, seeded

SCHEDULES: list[Adaptive] = [Maximin(), Optimized()]


def uneven(preferences: Tensor) -> Tensor:
    """A straight front, whose points crowd where the first weight is large: the losses are (1 − λ_1)³ and the rest."""
    first = (1 - preferences[:, 0]) ** 3
    rest = preferences[:, 1:] / preferences[:, 1:].sum(dim=1, keepdim=True).clamp_min(1e-12)
    others = (1 - first).unsqueeze(1) * (1 - rest) if preferences.shape[1] > 2 else (1 - first).unsqueeze(1)
    return torch.cat([first.unsqueeze(1), others], dim=1)


def gaps(losses: Tensor) -> Tensor:
    return losses[losses[:, 0].argsort()].diff(dim=0).norm(dim=1)


def learned(schedule: Adaptive, m: int = 2, noise: float = 0.0, rounds: int = 8) -> dict[str, Tensor]:
    state, generator = schedule.initial_state(m), seeded(5)
    for step in range(rounds):
        drawn = torch.distributions.Dirichlet(torch.ones(m, dtype=torch.float64))
        torch.manual_seed(step)
        tried = drawn.sample((300,))  # type: ignore[no-untyped-call]
        losses = uneven(tried) + noise * torch.randn(300, m, dtype=torch.float64)
        state = schedule.adapted(state, tried, losses, generator)
    return state


def test_planes_are_expected_exactly_and_curves_nearly() -> None:
    tried = torch.distributions.Dirichlet(torch.ones(3, dtype=torch.float64)).sample((200,)).numpy()  # type: ignore[no-untyped-call]
    at, slopes = even(66, 3).numpy(), np.array([[1.0, -2.0, 0.5], [0.0, 1.0, 3.0], [4.0, 0.0, 1.0]])
    np.testing.assert_allclose(expected_losses(at, tried, tried @ slopes), at @ slopes, atol=0.02)
    noisy = tried @ slopes + 0.1 * np.random.default_rng(0).standard_normal((200, 3))
    off = expected_losses(tried, tried, noisy) - tried @ slopes
    assert np.sqrt((off**2).mean()) < 0.06, "noise is averaged out in part"
    one = expected_losses(at, tried[:1], np.array([[1.0, 2.0, 3.0]]))
    np.testing.assert_allclose(one, np.broadcast_to([1.0, 2.0, 3.0], one.shape))


def test_scales_and_distances() -> None:
    np.testing.assert_allclose(scaled(np.array([[1.0, 5.0], [3.0, 5.0], [2.0, 5.0]])), [[0, 0], [1, 0], [0.5, 0]])
    points = np.random.default_rng(0).random((3, 4, 2))
    np.testing.assert_allclose(distances(points, points)[1, 2, 3], np.linalg.norm(points[1, 2] - points[1, 3]))


def test_maximin_is_even_on_a_line_and_has_the_ends() -> None:
    line = np.linspace(0, 1, 101)[:, None] * np.array([[1.0, -1.0]])
    for count in (1, 2, 3, 5, 11):
        chosen = maximin(line, count)
        assert len(set(chosen.tolist())) == count
        if count > 1:
            np.testing.assert_allclose(np.diff(np.sort(chosen)), 100 / (count - 1), rtol=0.35)
    before, after = (np.diff(np.sort(maximin(line, 8, sweeps))) for sweeps in (0, 20))
    assert after.max() < 0.75 * before.max(), "farthest points in turn halve gaps; moving them evens these out"
    assert after.min() >= before.min()


@pytest.mark.parametrize("noise", [0.0, 0.03])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=["maximin", "optimized"])
def test_points_spread_over_an_uneven_front(schedule: Adaptive, noise: float) -> None:
    at_first = gaps(uneven(schedule.initial_state(2)["points"]))
    found = gaps(uneven(learned(schedule, noise=noise)["points"]))
    assert float(found.max()) < 0.65 * float(at_first.max())
    assert float(found.std()) < 0.65 * float(at_first.std())
    if isinstance(schedule, Maximin) and not noise:
        assert float(found.max()) < 1.4 * float(found.mean())


@pytest.mark.parametrize("schedule", SCHEDULES, ids=["maximin", "optimized"])
@pytest.mark.parametrize("m", [2, 3, 6])
def test_what_is_drawn_is_pure_and_on_the_simplex(schedule: Adaptive, m: int) -> None:
    state = learned(schedule, m, rounds=1)
    again = learned(schedule, m, rounds=1)
    assert all(torch.equal(state[key], again[key]) for key in state)
    assert state["points"].shape == (16, m)
    for count in (1, 5, 40):
        rows = schedule.draw_adapted(state, 0.5, count, m, seeded(1))
        assert_on_simplex(rows, count, m)
        assert torch.equal(rows, schedule.draw_adapted(state, 0.5, count, m, seeded(1)))
        assert_pure(schedule, 0.5, count, m)
    with pytest.raises(ValueError, match="progress"):
        schedule.draw_adapted(state, 0.0, 5, m, seeded())


def test_drawn_preferences_follow_the_points() -> None:
    for schedule in (Maximin(explore=0.0), Optimized(explore=0.0)):
        state = learned(schedule)
        drawn = torch.cat([schedule.draw_adapted(state, 0.5, 16, 2, seeded(k)) for k in range(20)]).double()
        counts = torch.histc(uneven(drawn)[:, 0], bins=5, min=0, max=1) / len(drawn)
        evenly = torch.histc(uneven(even(320, 2))[:, 0], bins=5, min=0, max=1) / 320
        assert float((counts - 0.2).abs().max()) < 0.11
        assert float((evenly - 0.2).abs().max()) > 0.3, "which even preferences do not"
    whole = Maximin(explore=1.0)
    drawn = torch.cat([whole.draw_adapted(learned(whole), 0.5, 16, 2, seeded(k)) for k in range(20)])
    assert float((torch.histc(drawn[:, 0], bins=4, min=0, max=1) / len(drawn) - 0.25).abs().max()) < 0.06


def test_more_tasks_than_points() -> None:
    assert Maximin(points=3).initial_state(6)["points"].shape == (6, 6)
    assert_on_simplex(Maximin(points=3).draw(1.0, 5, 6, seeded()), 5, 6)
    assert Maximin().draw(1.0, 3, 1, seeded()).tolist() == [[1.0]] * 3


def test_energy_by_hand() -> None:
    found = energy(np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[0.0, 2.0], [2.0, 0.0]]))
    np.testing.assert_allclose(found, [0.25 + 0.25, 0.5 + 0.5])


def test_a_front_of_a_model_is_spread_over() -> None:
    tried = even(41, 2)
    chosen = spread_over(tried.numpy(), uneven(tried).numpy(), 11)
    assert_on_simplex(chosen, 11, 2)
    found, before = gaps(uneven(chosen.double())), gaps(uneven(even(11, 2)))
    assert float(found.max()) < 0.5 * float(before.max())
    three = spread_over(even(66, 3).numpy(), uneven(even(66, 3)).numpy(), 10)
    assert_on_simplex(three, 10, 3)
    with pytest.raises(ValueError, match=r"both be \(n, m\)"):
        spread_over(tried.numpy(), tried.numpy()[:5], 11)
    with pytest.raises(ValueError, match="at least 2, the number of tasks"):
        spread_over(tried.numpy(), tried.numpy(), 1)
