"""What every analytic problem claims, each written once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from moframework.pareto.indicators import hypervolume, nondominated
from moframework.problem.analytic import AnalyticProblem

Array = NDArray[np.float64]


def points(problem: AnalyticProblem, count: int = 200, seed: int = 0) -> Array:
    """Random points of the box (of [−2, 2] where there is none), then its corners where all are alike."""
    generator = np.random.default_rng(seed)
    lower, upper = (np.broadcast_to(np.array(bound), problem.n) for bound in problem.bounds or ((-2.0,), (2.0,)))
    inside = lower + (upper - lower) * generator.random((count, problem.n))
    return np.concatenate([inside, lower[None], upper[None]])


def values(problem: AnalyticProblem, x: Array) -> Array:
    return problem.evaluate(torch.from_numpy(x)).numpy()


def assert_agrees(problem: AnalyticProblem, reference: Array, x: Array) -> None:
    """With another implementation's values at the same points."""
    np.testing.assert_allclose(values(problem, x), reference, rtol=1e-9, atol=1e-9)


def assert_differentiable(problem: AnalyticProblem) -> None:
    """Gradients are finite in the whole box, in both precisions, and agree with differences inside."""
    x = points(problem, 20)
    for dtype in (torch.float32, torch.float64):
        leaf = torch.tensor(x, dtype=dtype, requires_grad=True)
        for t in range(problem.m):
            (gradient,) = torch.autograd.grad(problem.evaluate(leaf)[:, t].sum(), leaf)
            assert torch.isfinite(gradient).all()
    inside = torch.tensor(x[:3], requires_grad=True)
    assert torch.autograd.gradcheck(problem.evaluate, (inside,), rtol=1e-3, atol=1e-6)


def assert_front(problem: AnalyticProblem, random: int = 20000) -> None:
    """The front is mutually non-dominated, reaches the nadir, and no point of the box is below it."""
    front = problem.front(300)
    assert front is not None
    assert nondominated(front - 1e-12 * np.arange(len(front))[:, None]).mean() > 0.9
    assert problem.nadir is not None
    np.testing.assert_allclose(front.max(axis=0), problem.nadir, rtol=1e-6)
    assert len(np.asarray(problem.true_front)) > 100
    found = values(problem, points(problem, random))
    assert not [row for row in front if (found < row - 1e-9).all(axis=1).any()]


def assert_hypervolume(problem: AnalyticProblem, sizes: tuple[int, int]) -> None:
    """Exact: a dense front stays below, and halving its spacing halves the gap, as it does for staircases. So an error
    of the value would be far below the gap: a ten-thousandth of the volume for two functions.

    Args:
        sizes: numbers of points of two fronts, the spacing of the second half that of the first.
    """
    assert problem.reference is not None
    reference = [value + 0.1 * t for t, value in enumerate(problem.reference)]
    exact = problem.hypervolume(reference)
    assert exact is not None
    coarse, fine = (hypervolume(_front(problem, size), reference) for size in sizes)
    assert coarse < fine < exact
    assert (exact - fine) / (exact - coarse) == pytest.approx(0.5, rel=0.12)


def _front(problem: AnalyticProblem, size: int) -> Array:
    front = problem.front(size)
    assert front is not None
    return front
