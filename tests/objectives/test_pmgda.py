"""PMGDA's linear program by hand and against a search over the simplex, as far as it means anything."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from moframework.objectives.gramian import min_norm_weights
from moframework.objectives.pmgda import PMGDA, Measure, off_ray, pmgda_weights

Array = NDArray[np.float64]
EVEN = np.array([1.0, 1.0]) / math.sqrt(2)


@pytest.mark.parametrize("measure", ["distance", "cosine", "divergence"])
def test_the_slope_is_that_of_the_measure(measure: Measure) -> None:
    losses, ray = torch.tensor([0.9, 0.4, 0.2], dtype=torch.float64), np.array([0.2, 0.9, 0.3])
    ray /= np.linalg.norm(ray)
    step = 1e-6
    value, slope = off_ray(losses.numpy(), ray, measure)
    assert value > 0
    for t in range(3):
        moved = losses.numpy() + step * np.eye(3)[t]
        assert (off_ray(moved, ray, measure)[0] - value) / step == pytest.approx(slope[t], abs=1e-4)
    assert off_ray(3 * ray, ray, measure)[0] == pytest.approx(0, abs=1e-12)


def test_a_correction_by_hand() -> None:
    # g_1 = (1, 0), g_2 = (0, 1), L off the even ray by (1, −1)/√2: ∇h = (1, −1)/√2, of length 1. With μ = (a, b, c),
    # a + b + c = 1: h falls by c + (a − b)/√2, L_1 by a + c/√2, L_2 by b − c/√2. σ = .95 and the least rise of L_2:
    # b = 0 gives L_2 the rate −c/√2, where c ≥ (.95 − 1/√2) / (1 − 1/√2); b > 0 costs more of c than it gives.
    value, slope = off_ray(np.array([3.0, 1.0]), EVEN)
    c = (0.95 - math.sqrt(0.5)) / (1 - math.sqrt(0.5))
    expected = np.array([1 - c + c / math.sqrt(2), -c / math.sqrt(2)])
    np.testing.assert_allclose(pmgda_weights(np.eye(2), slope, value), expected, atol=1e-9)


def test_on_the_ray_it_is_mgda() -> None:
    gramian = np.array([[1.0, 0.0], [0.0, 4.0]])
    value, slope = off_ray(np.array([1.005, 1.0]), EVEN)
    np.testing.assert_allclose(pmgda_weights(gramian, slope, value), [0.8, 0.2], atol=1e-9)
    assert not np.allclose(pmgda_weights(gramian, slope, value, tolerance=1e-3), [0.8, 0.2])


@pytest.mark.parametrize("m", [2, 3])
def test_agrees_with_a_search_over_the_simplex(m: int) -> None:
    steps = 200 if m == 2 else 40
    grid = np.array([p for p in np.ndindex(*[steps + 1] * (m + 1)) if sum(p) == steps]) / steps
    generator = np.random.default_rng(m)
    for _ in range(10):
        jacobian = generator.normal(size=(m, 6)) * 10 ** generator.uniform(-2, 2, size=(m, 1))
        losses, ray = generator.random(m) + 0.1, generator.random(m)
        value, slope = off_ray(losses, ray / np.linalg.norm(ray))
        found = pmgda_weights(jacobian @ jacobian.T, slope, value) @ jacobian
        rows = np.vstack([jacobian, slope @ jacobian])
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        length = np.linalg.norm(rows[-1])
        assert rows[-1] @ found >= 0.95 * length * (1 - 1e-6)
        assert np.linalg.norm(found) <= 1 + 1e-9, "a convex combination of unit vectors"
        directions = grid @ unit
        allowed = directions @ rows[-1] >= 0.95 * length
        best = (directions[allowed] @ jacobian.T).min(axis=1).max()
        assert (jacobian @ found).min() >= best - 1e-9


def test_a_release_that_adds_to_lengths() -> None:
    # solve_pmgda of xzhang2523/libmoon at b43d825, cvxopt 1.3.3, for this J, these losses and this preference.
    jacobian = np.array([[1.0, 0.5, -0.2], [-0.3, 0.8, 0.1]])
    value, slope = off_ray(np.array([0.9, 0.4]), np.array([0.6, 0.8]))
    found = pmgda_weights(jacobian @ jacobian.T, slope, value, added=1e-4)
    np.testing.assert_allclose(found, [0.8247795528728, -0.3834243005829], atol=1e-9)


def test_gradients_of_any_size_give_the_same_direction() -> None:
    """Where the released kernel adds 1e-4 to lengths, small gradients cannot correct."""
    jacobian = np.array([[1.0, 0.5], [-0.3, 0.8]])
    value, slope = off_ray(np.array([0.9, 0.4]), EVEN)
    one = pmgda_weights(jacobian @ jacobian.T, slope, value) @ jacobian
    small = pmgda_weights(1e-20 * jacobian @ jacobian.T, slope, value) @ (1e-10 * jacobian)
    np.testing.assert_allclose(small, one, rtol=1e-6)


def test_nothing_to_correct_with() -> None:
    value, slope = off_ray(np.array([0.9, 0.4]), EVEN)
    same = np.ones((2, 2))  # one gradient for both: the difference does not move
    np.testing.assert_allclose(pmgda_weights(same, slope, value), min_norm_weights(same))
    assert np.isfinite(pmgda_weights(np.zeros((2, 2)), slope, value)).all()


def test_rows_and_directions() -> None:
    losses = torch.tensor([[math.nan, 1.0], [0.9, 0.1]])
    preferences, gramians = torch.tensor([[0.9, 0.1]] * 2), torch.eye(2).repeat(2, 1, 1)
    found = PMGDA(direction="preference").weights(losses, preferences, gramians)
    assert bool(found[0].isnan().all())
    torch.testing.assert_close(found[1], torch.tensor([0.5, 0.5]))  # on the ray
    assert float(PMGDA().weights(losses, preferences, gramians)[1, 0]) > 0.5, "a larger λ_t means a smaller loss"


def fonseca(x: torch.Tensor) -> torch.Tensor:
    """A concave front in [0, 1]² (VLMOP2)."""
    centre = 1 / math.sqrt(len(x))
    return torch.stack([1 - (-(x - centre).square().sum()).exp(), 1 - (-(x + centre).square().sum()).exp()])


@pytest.mark.parametrize("first", [0.2, 0.5, 0.9])
def test_ends_on_the_ray_of_a_concave_front(first: float) -> None:
    from moframework.pareto.indicators import angles

    preference, method = torch.tensor([[first, 1 - first]]), PMGDA(direction="preference", tolerance=1e-3)
    torch.manual_seed(0)
    x = (torch.rand(3) - 0.5).requires_grad_()
    for step in range(300):
        losses = fonseca(x)
        jacobian = torch.stack([torch.autograd.grad(loss, x, retain_graph=True)[0] for loss in losses])
        weights = method.weights(losses.detach()[None], preference, (jacobian @ jacobian.T)[None])[0]
        with torch.no_grad():
            x -= 0.2 * 0.98**step * weights @ jacobian
    assert angles(preference, fonseca(x.detach())[None], "preference")[0] < 0.2
    assert float(x.detach().std()) < 0.02  # the Pareto set: all coordinates equal
