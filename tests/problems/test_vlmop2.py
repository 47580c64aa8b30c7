"""VLMOP2 against its formula as printed, its stationarity, and a dense front. pymoo has no such problem."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from moframework.problems.vlmop2 import VLMOP2
from scipy.integrate import trapezoid

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
