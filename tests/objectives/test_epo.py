"""EPO's linear programs by hand and against a search over the simplex; the whole method on a concave front."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from moframework.errors import SpecError
from moframework.objectives.epo import EPO, epo_weights


def test_uneven_losses_with_orthogonal_gradients_move_only_the_larger() -> None:
    # λL = (1.5, .5): q = (.75, .25). a = λ (log 2q − μ), so Ca = a for C = 1: positive for task 1 alone. The program
    # maximizes α_1 a_1 + α_2 a_2 with α_1 ≥ 0, α_2 ≥ a_2 < 0: all on task 1.
    found = epo_weights(np.array([3.0, 1.0]), np.array([0.5, 0.5]), np.eye(2))
    np.testing.assert_allclose(found, [1.0, 0.0], atol=1e-9)


def test_even_losses_descend_without_leaving_the_ray() -> None:
    # μ = 0 and a = 0: maximize 1ᵀCα subject to Cα ≥ 0. With C = ((1, −.5), (−.5, 4)) the columns sum to .5 and 3.5:
    # as much of task 2 as α_1 − .5 α_2 ≥ 0 allows, α = (1/3, 2/3).
    found = epo_weights(np.array([1.0, 1.0]), np.array([0.5, 0.5]), np.array([[1.0, -0.5], [-0.5, 4.0]]))
    np.testing.assert_allclose(found, [1 / 3, 2 / 3], atol=1e-6)


def test_the_largest_weighted_loss_never_rises_while_evening_out() -> None:
    # Descending task 2 would raise task 1: with C_12 = −2 the program keeps (Cα)_1 ≥ 0 where task 1 is the largest.
    gramian = np.array([[1.0, -2.0], [-2.0, 9.0]])
    found = epo_weights(np.array([3.0, 1.0]), np.array([0.5, 0.5]), gramian)
    assert (gramian @ found)[0] >= -1e-9


def adjustments(losses: np.ndarray, preference: np.ndarray) -> tuple[np.ndarray, float]:
    share = preference * losses / (preference * losses).sum()
    unevenness = float((share * np.log(len(losses) * share)).sum())
    return preference * (np.log(len(losses) * share) - unevenness), unevenness


@pytest.mark.parametrize("m", [2, 3])
def test_agrees_with_a_search_over_the_simplex(m: int) -> None:
    """The definition, maximized over a fine grid in place of a linear program."""
    steps = 400 if m == 2 else 120
    grid = np.array([p for p in np.ndindex(*[steps + 1] * m) if sum(p) == steps]) / steps
    generator = np.random.default_rng(m)
    for _ in range(25):
        jacobian = generator.normal(size=(m, 5))
        gramian = jacobian @ jacobian.T
        gramian /= np.trace(gramian) / m
        losses, preference = generator.random(m) + 0.1, generator.dirichlet(np.ones(m) * 3)
        if generator.random() < 0.5:
            losses = 1 / preference  # even: the other program
        a, unevenness = adjustments(losses, preference)
        gains = gramian @ a
        if unevenness > 1e-4:
            value = grid @ gains
            allowed = np.ones(len(grid), dtype=bool)
            largest = preference * losses == (preference * losses).max()
            for t in range(m):
                if largest[t] or not (gains > 0).any():
                    allowed &= grid @ gramian[t] >= -1e-9
                elif gains[t] <= 0:
                    allowed &= grid @ gramian[t] >= gains[t] - 1e-9
        else:
            value = grid @ gramian.sum(axis=0)
            allowed = (grid @ gramian >= -1e-9).all(axis=1) & (grid @ gains >= min(0, gains.max()) - 1e-9)
        found = epo_weights(losses, preference, gramian)
        assert found.sum() == pytest.approx(1)
        assert found.min() >= -1e-12
        best = value[allowed].max()
        reached = float(found @ (gains if unevenness > 1e-4 else gramian.sum(axis=0)))
        assert reached >= best - 1e-9
        assert reached <= best + 0.1  # the grid is coarse


def test_tasks_without_preference_are_left_out() -> None:
    found = epo_weights(np.array([2.0, 5.0]), np.array([1.0, 0.0]), np.array([[1.0, -3.0], [-3.0, 9.0]]))
    np.testing.assert_array_equal(found, [1.0, 0.0])
    three = epo_weights(np.array([3.0, 7.0, 1.0]), np.array([0.5, 0.0, 0.5]), np.eye(3))
    np.testing.assert_allclose(three, [1.0, 0.0, 0.0], atol=1e-9)


def test_losses_of_zero_and_below() -> None:
    np.testing.assert_allclose(epo_weights(np.zeros(2), np.array([0.3, 0.7]), np.eye(2)), [0.3, 0.7])
    np.testing.assert_allclose(epo_weights(np.array([0.0, 1.0]), np.array([0.5, 0.5]), np.eye(2)), [0, 1], atol=1e-9)
    with pytest.raises(SpecError, match=r"epo needs losses that are not negative, but found -1"):
        epo_weights(np.array([-1.0, 1.0]), np.array([0.5, 0.5]), np.eye(2))


def test_a_row_that_is_not_finite_goes_through_alone() -> None:
    losses = torch.tensor([[math.nan, 1.0], [3.0, 1.0]])
    found = EPO().weights(losses, torch.full((2, 2), 0.5), torch.eye(2).repeat(2, 1, 1))
    assert bool(found[0].isnan().all())
    torch.testing.assert_close(found[1], torch.tensor([1.0, 0.0]))


def fonseca(x: torch.Tensor) -> torch.Tensor:
    """A concave front in [0, 1]² (VLMOP2)."""
    centre = 1 / math.sqrt(len(x))
    return torch.stack([1 - (-(x - centre).square().sum()).exp(), 1 - (-(x + centre).square().sum()).exp()])


@pytest.mark.parametrize("first", [0.2, 0.5, 0.7])
def test_ends_on_the_ray_of_a_concave_front(first: float) -> None:
    preference = torch.tensor([[first, 1 - first]])
    torch.manual_seed(0)
    x = (torch.rand(3) - 0.5).requires_grad_()
    optimizer = torch.optim.SGD([x], lr=0.1)
    for _ in range(400):
        losses = fonseca(x)
        jacobian = torch.stack([torch.autograd.grad(loss, x, retain_graph=True)[0] for loss in losses])
        weights = EPO().weights(losses.detach()[None], preference, (jacobian @ jacobian.T)[None])
        optimizer.zero_grad()
        (weights[0] * losses).sum().backward()
        optimizer.step()
    losses = fonseca(x.detach())
    even = preference[0] * losses
    assert float(even[0] / even[1]) == pytest.approx(1, abs=0.05)
    assert float(x.detach().std()) < 0.02  # the Pareto set: all coordinates equal
