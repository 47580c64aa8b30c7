"""Quadratics: the front by optimality, and the exact hypervolume by two independent ways."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from moframework.problems.quadratics import Quadratics

from moframework.config.options import OptionError
from moframework.problem import get_problem
from tests.problems.analytic import assert_differentiable, assert_front, assert_hypervolume, points, values


def test_values_by_the_formula() -> None:
    problem = Quadratics(objectives=3, variables=4, condition=100.0)
    curvature = np.diag(np.geomspace(1, 10, 4))
    centers = np.linalg.inv(curvature) @ np.eye(4)[:, :3]
    x = points(problem, 5)
    expected = [[0.5 * np.sum((curvature @ (row - centers[:, t])) ** 2) for t in range(3)] for row in x]
    np.testing.assert_allclose(values(problem, x), expected)
    assert_differentiable(problem)


@pytest.mark.parametrize("m", [2, 3, 5])
def test_front(m: int) -> None:
    assert_front(Quadratics(objectives=m))


@pytest.mark.parametrize("m", [2, 3, 6])
def test_linear_scalarization_is_solved_by_the_preference(m: int) -> None:
    problem = Quadratics(objectives=m, condition=30.0)
    preference = torch.from_numpy(np.random.default_rng(0).dirichlet(np.ones(m)))
    curvature = 30.0 ** torch.linspace(0, 0.5, m, dtype=torch.float64)
    x = (preference / curvature).requires_grad_()
    losses = problem.evaluate(x[None])[0]
    (gradient,) = torch.autograd.grad(losses @ preference, x)
    assert gradient.abs().max() < 1e-14
    q = float((preference**2).sum())
    np.testing.assert_allclose(losses.detach(), 0.5 * (q + 1) - preference, rtol=1e-12)


@pytest.mark.parametrize(("m", "sizes"), [(2, (1001, 2001)), (3, (1326, 5151)), (4, (1771, 12341))])
def test_hypervolume_is_exact(m: int, sizes: tuple[int, int]) -> None:
    assert_hypervolume(Quadratics(objectives=m), sizes)


def test_hypervolume_by_hand() -> None:
    assert Quadratics().hypervolume((2.0, 3.0)) == pytest.approx(6 - 1 / 6, rel=1e-14)


@pytest.mark.parametrize("m", [3, 5])
def test_hypervolume_by_sampling(m: int) -> None:
    """Independent of the formula: y is dominated when min_x max_t (f_t(x) − y_t) ≤ 0, whose dual is concave on the
    simplex: max_λ of ½(1 − ‖λ‖²) − λ·y, a projection onto the simplex."""
    generator = np.random.default_rng(0)
    reference = np.linspace(1.05, 1.4, m)
    y = generator.random((40000, m)) * reference
    projected = project(-y)
    gap = 0.5 * (1 - (projected**2).sum(axis=1)) - (projected * y).sum(axis=1)
    share = float((gap <= 0).mean())
    exact = Quadratics(objectives=m).hypervolume(reference.tolist())
    error = math.sqrt(share * (1 - share) / len(y)) * math.prod(reference)
    assert exact == pytest.approx(share * math.prod(reference), abs=4 * error)
    assert error < 0.01 * (exact or 0)


def project(points: np.ndarray) -> np.ndarray:
    """Nearest points of the simplex: what maximizes −½‖λ‖² + λ·p."""
    ordered = np.sort(points, axis=1)[:, ::-1]
    excess = (np.cumsum(ordered, axis=1) - 1) / np.arange(1, points.shape[1] + 1)
    size = (ordered > excess).sum(axis=1)
    return np.maximum(points - excess[np.arange(len(points)), size - 1][:, None], 0)


def test_hypervolume_is_symmetric_and_fast_for_many_tasks() -> None:
    problem = Quadratics(objectives=3)
    found = {round(problem.hypervolume(r) or 0, 12) for r in itertools.permutations((1.1, 1.3, 2.0))}
    assert len(found) == 1
    many = Quadratics(objectives=12).hypervolume()
    assert many is not None
    assert 0 < many < 1.1**12


def test_more_variables_change_nothing() -> None:
    few, more = Quadratics(objectives=3), get_problem("quadratics", objectives=3, variables=9, condition=10)
    assert isinstance(more, Quadratics)
    assert few.hypervolume() == more.hypervolume()
    assert more.outputs == {"x": 9}


def test_fewer_variables_than_functions_are_refused() -> None:
    with pytest.raises(OptionError, match="variables must be at least the number of functions, 4"):
        Quadratics(objectives=4, variables=3)
