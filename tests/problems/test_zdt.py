"""ZDT against pymoo's: values, gradients, fronts; and the exact hypervolumes against dense fronts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from moframework.problems.zdt import ZDT1, ZDT2, ZDT3, ZDT4, ZDT6
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

PROBLEMS = [ZDT1(), ZDT2(), ZDT3(), ZDT4(), ZDT6()]
each = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: type(problem).__name__)


@each
@pytest.mark.parametrize("variables", [None, 2, 7])
def test_values_agree_with_pymoo(problem: AnalyticProblem, variables: int | None) -> None:
    name = type(problem).__name__.lower()
    ours = get_problem(name) if variables is None else get_problem(name, variables=variables)
    theirs = pymoo_problem(name) if variables is None else pymoo_problem(name, n_var=variables)
    assert isinstance(ours, AnalyticProblem)
    assert ours.n == theirs.n_var
    lower, upper = (np.broadcast_to(np.array(bound), ours.n) for bound in ours.bounds or ())
    np.testing.assert_array_equal(lower, theirs.xl)
    np.testing.assert_array_equal(upper, theirs.xu)
    x = points(ours)
    assert_agrees(ours, theirs.evaluate(x, return_values_of=["F"]), x)


@each
def test_gradients(problem: AnalyticProblem) -> None:
    assert_differentiable(problem)


@each
def test_front_agrees_with_pymoo_and_is_one(problem: AnalyticProblem) -> None:
    theirs = pymoo_problem(type(problem).__name__.lower()).pareto_front(100)
    np.testing.assert_allclose(problem.front(100), theirs, atol=1e-6)  # pymoo states ends to seven digits and more
    assert_front(problem)


@each
def test_front_is_of_the_pareto_set(problem: AnalyticProblem) -> None:
    x = np.zeros((400, problem.n))
    x[:, 0] = np.linspace(0, 1, 400)
    found = values(problem, x)
    np.testing.assert_allclose(problem.curve(found[:, 0]), found[:, 1], atol=1e-12)  # type: ignore[attr-defined]


@each
def test_hypervolume_is_exact(problem: AnalyticProblem) -> None:
    assert_hypervolume(problem, (1001, 2001) if not isinstance(problem, ZDT3) else (2005, 4005))


def test_hypervolumes_in_closed_form() -> None:
    assert ZDT1().hypervolume() == pytest.approx(1.21 - 1 / 3, rel=1e-14)
    assert ZDT2().hypervolume((1, 1)) == pytest.approx(1 / 3, rel=1e-14)
    x = np.linspace(0.08, 0.083, 300001)
    assert ZDT6().least == pytest.approx(np.min(1 - np.exp(-4 * x) * np.sin(6 * np.pi * x) ** 6), abs=1e-14)
    assert ZDT6().least == pytest.approx(0.2807753191, abs=1e-9)  # as pymoo has it


def test_zdt3_pieces_end_and_start_on_one_level() -> None:
    front = ZDT3().front(10)
    ends, starts = front[1:-1:2], front[2::2]
    np.testing.assert_allclose(ends[:, 1], starts[:, 1], atol=1e-13)
    assert [round(float(f), 8) for f in front[1::2, 0]] == [0.08300153, 0.25776236, 0.45388210, 0.65251170, 0.85183287]


def test_a_reference_that_cuts_the_front_off_is_refused() -> None:
    with pytest.raises(ValueError, match="none below the nadir"):
        ZDT1().hypervolume((0.9, 1.1))
    with pytest.raises(ValueError, match="needs 2 numbers"):
        ZDT1().hypervolume((1.1, 1.1, 1.1))
    assert ZDT3().hypervolume((0.9, 1.0)) is not None
    assert math.isfinite(ZDT4().hypervolume() or math.nan)
