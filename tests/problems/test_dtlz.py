"""DTLZ against pymoo's: values, gradients, fronts; and the exact hypervolumes against dense fronts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from moframework.problems.dtlz import DTLZ1, DTLZ2, DTLZ3, DTLZ4
from pymoo.problems import get_problem as pymoo_problem

from moframework.problem import get_problem
from moframework.problem.analytic import AnalyticProblem
from tests.problems.analytic import (
    assert_agrees,
    assert_differentiable,
    assert_front,
    assert_hypervolume,
    points,
    values,
)

each = pytest.mark.parametrize("kind", [DTLZ1, DTLZ2, DTLZ3, DTLZ4])


@each
@pytest.mark.parametrize("m", [2, 3, 5, 10])
def test_values_agree_with_pymoo(kind: type[AnalyticProblem], m: int) -> None:
    name = kind.__name__.lower()
    ours = get_problem(name, objectives=m)
    assert isinstance(ours, AnalyticProblem)
    assert (ours.m, len(ours.tasks)) == (m, m)
    x = points(ours)
    assert_agrees(ours, pymoo_problem(name, n_var=ours.n, n_obj=m).evaluate(x, return_values_of=["F"]), x)


@each
def test_gradients(kind: type[AnalyticProblem]) -> None:
    assert_differentiable(kind(objectives=4, k=2))  # type: ignore[call-arg]


@each
@pytest.mark.parametrize("m", [2, 3, 5])
def test_front(kind: type[AnalyticProblem], m: int) -> None:
    problem = kind(objectives=m, k=2)  # type: ignore[call-arg]
    assert_front(problem)
    front = problem.front(300)
    assert front is not None
    total = 2 * front.sum(axis=1) if kind is DTLZ1 else (front**2).sum(axis=1)
    np.testing.assert_allclose(total, 1)


@each
def test_front_agrees_with_pymoo(kind: type[AnalyticProblem]) -> None:
    lattice = DTLZ1().front(66) * 2
    assert len(lattice) == 66
    theirs = pymoo_problem(kind.__name__.lower()).pareto_front(lattice)
    np.testing.assert_allclose(kind().front(66), theirs, atol=1e-12)


@each
def test_the_middle_of_the_last_variables_is_optimal(kind: type[AnalyticProblem]) -> None:
    problem = kind(objectives=3)  # type: ignore[call-arg]
    x = np.full((100, problem.n), 0.5)
    x[:, :2] = np.random.default_rng(0).random((100, 2))
    found = values(problem, x)
    total = 2 * found.sum(axis=1) if kind is DTLZ1 else (found**2).sum(axis=1)
    np.testing.assert_allclose(total, 1)


@pytest.mark.parametrize("kind", [DTLZ1, DTLZ2])
@pytest.mark.parametrize(("m", "sizes"), [(2, (1001, 2001)), (3, (1326, 5151)), (4, (1771, 12341))])
def test_hypervolume_is_exact(kind: type[AnalyticProblem], m: int, sizes: tuple[int, int]) -> None:
    # Lattices of 50 and 100 partitions for three functions, of 20 and 40 for four.
    assert_hypervolume(kind(objectives=m), sizes)  # type: ignore[call-arg]


def test_hypervolumes_in_closed_form() -> None:
    assert DTLZ1().hypervolume((1, 1, 1)) == pytest.approx(1 - 1 / 48, rel=1e-14)
    assert DTLZ2().hypervolume((1, 1, 1)) == pytest.approx(1 - math.pi / 6, rel=1e-14)
    assert DTLZ4(objectives=2).hypervolume() == pytest.approx(1.21 - math.pi / 4, rel=1e-14)
    # the unit ball of 10 dimensions has the volume π^5 / 120
    assert DTLZ3(objectives=10).hypervolume((1,) * 10) == pytest.approx(1 - math.pi**5 / 120 / 1024, rel=1e-14)
