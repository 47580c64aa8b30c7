"""VLMOP2 against its formula as printed, its stationarity, and a dense front. pymoo has no such problem."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from moframework.problems.vlmop2 import VLMOP2
from scipy.integrate import trapezoid

from moframework import Problem
from moframework.config import build
from moframework.errors import SpecError
from tests.problems.analytic import (
    assert_agrees,
    assert_differentiable,
    assert_front,
    assert_hypervolume,
    points,
    values,
)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_values_by_the_formula(n: int) -> None:
    problem = VLMOP2(variables=n)
    x = points(problem)
    expected = [[1 - math.exp(-sum((v - s / math.sqrt(n)) ** 2 for v in row)) for s in (1, -1)] for row in x]
    assert_agrees(problem, np.array(expected), x)
    assert_differentiable(problem)


def test_gradients_far_from_both_bells_are_small_but_not_zero() -> None:
    """In float32 the losses are exactly 1 there."""
    far = torch.full((1, 10), 2.0, requires_grad=True)
    losses = VLMOP2(variables=10).evaluate(far)
    assert bool((losses == 1).all())
    (gradient,) = torch.autograd.grad(losses[0, 0], far)
    by_hand = 2 * (2 - 10**-0.5) * math.exp(-10 * (2 - 10**-0.5) ** 2)
    assert gradient[0, 0].item() == pytest.approx(by_hand, rel=1e-4)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_front_is_of_the_pareto_set(n: int) -> None:
    problem = VLMOP2(variables=n)
    assert_front(problem)
    x = np.repeat(np.linspace(1, -1, 50)[:, None] / math.sqrt(n), n, axis=1)
    np.testing.assert_allclose(values(problem, x), problem.front(50), atol=1e-12)
    leaf = torch.tensor(x[1:-1], requires_grad=True)
    first, second = (torch.autograd.grad(problem.evaluate(leaf)[:, t].sum(), leaf)[0] for t in range(2))
    # the gradients point in opposite directions: no direction lowers both
    cosine = torch.nn.functional.cosine_similarity(first, second)
    assert torch.allclose(cosine, -torch.ones_like(cosine))


def test_hypervolume_is_exact() -> None:
    assert_hypervolume(VLMOP2(), (1001, 2001))
    # with the unit square, by a sum over a fine grid of u
    u = np.linspace(-1, 1, 200001)
    area = math.exp(-4) + trapezoid(2 * (1 - u) * np.exp(-2 * u**2 - 2), u)
    assert VLMOP2().hypervolume((1, 1)) == pytest.approx(area, rel=1e-9)


@pytest.mark.parametrize("box", [(-1.0, 1.0), (-0.1, 0.2), (0.1, 2.0), (-3.0, 0.05)])
def test_another_box_has_the_front_that_is_left_of_it(box: tuple[float, float]) -> None:
    problem = build(Problem, {"name": "vlmop2", "variables": 10, "bounds": list(box)})
    assert isinstance(problem, VLMOP2)
    assert problem.bounds == ((box[0],), (box[1],))
    assert_front(problem, 2000)
    assert_hypervolume(problem, (1001, 2001))
    assert (points(problem, 50) >= box[0]).all()
    # Weighted squared distances are convex: their minima in the box, coordinate by coordinate, are the Pareto set.
    center = 1 / math.sqrt(10)
    share = np.linspace(0, 1, 11)
    minima = np.repeat(np.clip((2 * share - 1) * center, *box)[:, None], 10, axis=1)
    for point in values(problem, minima):
        assert np.abs(problem.front(20001) - point).max(axis=1).min() < 1e-4


def test_a_box_that_holds_the_pareto_set_changes_nothing() -> None:
    wide, narrow = VLMOP2(variables=10), VLMOP2(variables=10, bounds=(-1.0, 1.0))
    np.testing.assert_array_equal(wide.front(20), narrow.front(20))
    assert wide.hypervolume((1, 1)) == narrow.hypervolume((1, 1)) == pytest.approx(0.34212, abs=1e-5)


@pytest.mark.parametrize("box", [[1, -1], [0, float("inf")]])
def test_bounds_in_the_wrong_order_are_told_by_their_key(box: list[float]) -> None:
    with pytest.raises(SpecError, match="bounds: must be two finite numbers, the smaller one first"):
        build(Problem, {"name": "vlmop2", "bounds": box})
