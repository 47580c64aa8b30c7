"""FERERO's quadratic program by hand and against a general solver, its single loop, and what both mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from moframework.objectives.ferero import FERERO, ferero_step, ferero_weights
from moframework.objectives.host import onto_simplex
from tests.objectives.test_pmgda import fonseca

EVEN = np.array([1.0, 1.0]) / math.sqrt(2)


def test_a_step_by_hand() -> None:
    # G = 1, B = (1, −1)/√2, L = (3, 1): B L = √2, K = 1, z = √2/2 − B a, a + Bᵀz = a − BᵀB a + (1, −1)/2, and
    # a − BᵀB a = (½, ½) for all of the simplex: w = (1, 0).
    np.testing.assert_allclose(ferero_weights(np.array([3.0, 1.0]), EVEN, np.eye(2)), [1.0, 0.0], atol=1e-12)
    # Farther off it ascends the smaller loss: L = (5, 1) gives (½, ½) + (1, −1), over its sum of absolute values.
    np.testing.assert_allclose(ferero_weights(np.array([5.0, 1.0]), EVEN, np.eye(2)), [0.75, -0.25], atol=1e-12)


@pytest.mark.parametrize("m", [2, 3, 4])
def test_agrees_with_a_general_solver(m: int) -> None:
    generator = np.random.default_rng(m)
    for _ in range(8):
        jacobian, losses = generator.normal(size=(m, 6)), generator.random(m) + 0.1
        ray = generator.random(m)
        ray /= np.linalg.norm(ray)
        across = np.linalg.svd(ray[None])[2][1:]
        lift = np.hstack([np.eye(m), across.T])
        gramian = jacobian @ jacobian.T
        quadratic, linear = lift.T @ gramian @ lift, np.append(np.zeros(m), -0.5 * across @ losses)
        solved = minimize(
            lambda v, q=quadratic, p=linear: 0.5 * v @ q @ v + p @ v,
            np.append(np.full(m, 1 / m), np.zeros(m - 1)),
            jac=lambda v, q=quadratic, p=linear: q @ v + p,
            bounds=[(0, None)] * m + [(None, None)] * (m - 1),
            constraints={"type": "eq", "fun": lambda v, m=m: v[:m].sum() - 1},
            method="SLSQP",
            options={"ftol": 1e-15, "maxiter": 1000},
        )
        expected = lift @ solved.x
        np.testing.assert_allclose(ferero_weights(losses, ray, gramian), expected / np.abs(expected).sum(), atol=2e-6)


def test_the_constraint_decays_and_what_is_left_descends() -> None:
    generator = np.random.default_rng(0)
    jacobian, losses = generator.normal(size=(2, 5)), np.array([0.9, 0.3])
    weights = ferero_weights(losses, EVEN, jacobian @ jacobian.T)
    across = np.array([1.0, -1.0])
    moved = -jacobian @ jacobian.T @ weights
    assert across @ moved * (across @ losses) < 0
    on = ferero_weights(np.array([0.5, 0.5]), EVEN, jacobian @ jacobian.T)
    np.testing.assert_allclose(across @ (jacobian @ jacobian.T @ on), 0, atol=1e-9)
    assert (jacobian @ jacobian.T @ on > 0).all()


def test_dependent_gradients_are_no_error() -> None:
    losses = np.array([0.9, 0.3, 0.1])
    for gramian in (np.zeros((3, 3)), np.ones((3, 3)), np.diag([1.0, 1.0, 0.0])):
        found = ferero_weights(losses, np.ones(3) / math.sqrt(3), gramian)
        assert np.isfinite(found).all()
        assert np.abs(found).sum() == pytest.approx(1)


def test_single_loop_by_hand_and_kept() -> None:
    method = FERERO(steps=1, rate=0.1)
    state = method.build(2, 1)
    losses, even, gramian = torch.tensor([[5.0, 1.0]]), torch.tensor([[0.5, 0.5]]), torch.diag(torch.tensor([2.0, 1.0]))
    # w = (½, ½): G w = (1, ½). a = Π(.4, .45) = (.475, .525); off = (1, ½) − (2.5, .5), across (−.75, .75).
    found = method.weights(losses, even, gramian[None], state)
    torch.testing.assert_close(found, torch.tensor([[0.475 + 0.075, 0.525 - 0.075]]))
    again = method.weights(losses, even, gramian[None], state)
    assert not torch.equal(found, again)
    copy = method.build(2, 1)
    copy.load_state_dict(state.state_dict())
    assert torch.equal(
        method.weights(losses, even, gramian[None], state), method.weights(losses, even, gramian[None], copy)
    )


def test_the_single_loop_approaches_the_program() -> None:
    generator = np.random.default_rng(1)
    jacobian, losses, ray = generator.normal(size=(3, 6)), generator.random(3), np.array([0.6, 0.0, 0.8])
    gramian, a, h = jacobian @ jacobian.T, np.full(3, 1 / 3), np.zeros(3)
    for _ in range(20_000):
        a, h = ferero_step(a, h, losses, ray, gramian, rate=0.02)
    np.testing.assert_allclose((a + h) / np.abs(a + h).sum(), ferero_weights(losses, ray, gramian), atol=1e-6)


def test_projection_onto_the_simplex() -> None:
    np.testing.assert_allclose(onto_simplex(np.array([0.3, 0.9, -2.0])), [0.2, 0.8, 0.0])
    for values in np.random.default_rng(0).normal(size=(20, 4)):
        found = onto_simplex(values)
        assert found.sum() == pytest.approx(1)
        # The gap to the nearest point makes an obtuse angle with the way to every vertex.
        assert ((values - found) @ (np.eye(4) - found).T <= 1e-12).all()


@pytest.mark.parametrize("first", [0.2, 0.5, 0.9])
def test_ends_on_the_ray_of_a_concave_front(first: float) -> None:
    from moframework.pareto.indicators import angles

    preference, method = torch.tensor([[first, 1 - first]]), FERERO(direction="preference")
    torch.manual_seed(0)
    x = (torch.rand(3) - 0.5).requires_grad_()
    for step in range(300):
        losses = fonseca(x)
        jacobian = torch.stack([torch.autograd.grad(loss, x, retain_graph=True)[0] for loss in losses])
        weights = method.weights(losses.detach()[None], preference, (jacobian @ jacobian.T)[None])[0]
        with torch.no_grad():
            x -= 0.5 * 0.99**step * weights @ jacobian
    assert angles(preference, fonseca(x.detach())[None], "preference")[0] < 0.2
    assert float(x.detach().std()) < 0.02


def test_rows_that_are_not_finite_stay_so_and_move_no_state() -> None:
    method = FERERO(steps=1)
    state = method.build(2, 2)
    losses = torch.tensor([[math.nan, 1.0], [3.0, 1.0]])
    found = method.weights(losses, torch.full((2, 2), 0.5), torch.eye(2).repeat(2, 1, 1), state)
    assert bool(found[0].isnan().all())
    assert bool(found[1].isfinite().all())
    assert bool(torch.cat([value[0] for value in state.state_dict().values()]).isfinite().all())
