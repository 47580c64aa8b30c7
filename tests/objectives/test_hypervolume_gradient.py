"""The gradient of the hypervolume: by hand, against finite differences of moocore and pymoo, and at its kinks."""

from __future__ import annotations

import moocore
import numpy as np
import pytest
import torch

from moframework.objectives.hypervolume_gradient import HypervolumeGradient, dominated_volume_gradient


def test_two_tasks_by_hand() -> None:
    points = [[1.0, 3.0], [2.0, 1.5], [3.0, 1.0]]
    expected = [[-1.0, -1.0], [-1.5, -1.0], [-0.5, -1.0]]  # gaps to the neighbors, and to (4, 4)
    np.testing.assert_allclose(dominated_volume_gradient(points, [4, 4]), expected, atol=1e-12)


def test_three_tasks_by_hand() -> None:
    # Two boxes of sides 2×1×3 and 1×2×2 to (4, 4, 4): they share 1×1×2.
    points = [[2.0, 3.0, 1.0], [3.0, 2.0, 2.0]]
    expected = [
        [-3.0, -(2 * 3 - 1 * 2), -2.0],  # the second lies below the first in task 2 and covers 1×2 of its facet 2×3
        [-(2 * 2 - 1 * 2), -2.0, -(1 * 2 - 1 * 1)],
    ]
    np.testing.assert_allclose(dominated_volume_gradient(points, [4, 4, 4]), expected, atol=1e-12)


def test_one_task_only_the_best_counts() -> None:
    np.testing.assert_allclose(dominated_volume_gradient([[2.0], [1.0]], [3.0]), [[0.0], [-1.0]])


@pytest.mark.parametrize("m", [2, 3, 4, 5])
@pytest.mark.parametrize("n", [1, 2, 8])
def test_agrees_with_finite_differences_of_moocore_and_pymoo(m: int, n: int) -> None:
    from pymoo.indicators.hv import HV

    generator = np.random.default_rng(m * 10 + n)
    points = generator.random((n, m))
    points[: n // 2] /= np.linalg.norm(points[: n // 2], axis=1, keepdims=True)  # some of them dominated
    corner = np.full(m, 0.95)
    found = dominated_volume_gradient(points, corner)
    peer = HV(ref_point=corner)
    h = 1e-6
    for i in range(n):
        for t in range(m):
            step = np.zeros((n, m))
            step[i, t] = h
            up, down = points + step, points - step
            slope = (moocore.hypervolume(up, ref=corner) - moocore.hypervolume(down, ref=corner)) / (2 * h)
            assert found[i, t] == pytest.approx(slope, abs=1e-6)
            assert found[i, t] == pytest.approx((peer(up) - peer(down)) / (2 * h), abs=1e-6)


def test_equal_points_have_their_full_facets_and_the_dominated_and_distant_none() -> None:
    twice = dominated_volume_gradient([[1.0, 2.0], [1.0, 2.0], [1.5, 2.5], [5.0, 0.0]], [4, 4])
    np.testing.assert_allclose(twice, [[-2, -3], [-2, -3], [0, 0], [0, 0]])


def test_weights_have_length_one_and_dominated_points_form_fronts_of_their_own() -> None:
    losses = np.array([[1.0, 3.0], [2.0, 1.5], [3.0, 1.0], [2.5, 3.5], [3.5, 2.0]])
    weights = HypervolumeGradient(reference=(4.0, 4.0)).weights(losses)
    np.testing.assert_allclose(np.linalg.norm(weights, axis=1), 1.0)
    second = -dominated_volume_gradient(losses[3:], [4.0, 4.0])
    np.testing.assert_allclose(weights[3:], second / np.linalg.norm(second, axis=1, keepdims=True))
    raw = HypervolumeGradient(reference=(4.0, 4.0), normalize=False).weights(losses)
    np.testing.assert_allclose(raw[:3], [[1, 1], [1.5, 1], [0.5, 1]])


def test_losses_beyond_the_reference_push_it_out() -> None:
    weights = HypervolumeGradient(reference=(2.0, 2.0), normalize=False).weights(np.array([[10.0, 1.0]]))
    np.testing.assert_allclose(weights, [[1.0, 1.0]])  # corner (11, 2)
    free = HypervolumeGradient(normalize=False).weights(np.array([[10.0, 5.0]]))
    np.testing.assert_allclose(free, [[0.5, 1.0]])
    near = HypervolumeGradient(reference=(2.0, 2.0), normalize=False).weights(np.array([[1.9, 1.0]]))
    np.testing.assert_allclose(near, [[1.0, 0.1]])  # not beyond it: the corner is (2, 2)


def test_one_reference_serves_all_tasks() -> None:
    losses = np.array([[1.0, 3.0], [2.0, 1.5]])
    one, each = HypervolumeGradient(reference=(4.0,)), HypervolumeGradient(reference=(4.0, 4.0))
    assert (one.weights(losses) == each.weights(losses)).all()
    assert one.faults(3, 2) == []


def test_the_value_has_the_weights_as_its_gradient() -> None:
    losses = torch.tensor([[1.0, 3.0], [2.0, 1.5], [3.0, 1.0]], requires_grad=True)
    preferences = torch.tensor([[0.8, 0.2], [0.5, 0.5], [0.3, 0.7]])
    HypervolumeGradient(reference=(4.0, 4.0), normalize=False)(losses, preferences).backward()
    torch.testing.assert_close(losses.grad, torch.tensor([[1.0, 1.0], [1.5, 1.0], [0.5, 1.0]]) / 3)


def test_the_cosine_of_phn_hvi_is_added() -> None:
    losses, preferences = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.8, 0.2]])
    plain = float(HypervolumeGradient(reference=(9.0, 9.0))(losses, preferences))
    published = HypervolumeGradient(reference=(9.0, 9.0), coefficient=5, direction="preference")
    cosine = (3 * 0.8 + 4 * 0.2) / (5 * 0.68**0.5)
    assert float(published(losses, preferences)) == pytest.approx(plain - 5 * cosine, abs=1e-6)


def test_a_loss_that_is_not_finite_goes_through() -> None:
    weights = HypervolumeGradient(reference=(4.0, 4.0)).weights(np.array([[1.0, np.nan], [1.0, 2.0]]))
    assert np.isnan(weights).all()


def test_descent_ends_on_the_best_spread_of_a_line() -> None:
    """Three points on L_1 + L_2 = 1 below (1.5, 1.5): equal gaps between points and to the reference are best."""
    x = torch.tensor([0.2, 0.45, 0.6], requires_grad=True)
    optimizer = torch.optim.SGD([x], lr=0.05)
    objective = HypervolumeGradient(reference=(1.5, 1.5), normalize=False)
    preferences = torch.full((3, 2), 0.5)
    for _ in range(800):
        optimizer.zero_grad()
        objective(torch.stack([x, 1 - x], dim=1), preferences).backward()
        optimizer.step()
    # Ends have 0.5 + x to the reference on one side: gaps d between the three, (x_1 + 0.5) = d on both sides.
    torch.testing.assert_close(x.detach(), torch.tensor([0.0, 0.5, 1.0]), atol=2e-3, rtol=0)


def test_reference_is_held_against_the_tasks() -> None:
    assert HypervolumeGradient(reference=(1.0, 1.0)).faults(3, 5) == [
        "reference: has 2 numbers; the problem has 3 tasks"
    ]
