from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from moframework.config import config, option
from moframework.preferences import Schedule
from moframework.preferences.dirichlet import Dirichlet
from moframework.problem import get_problem
from moframework.problem.analytic import AnalyticProblem
from moframework.testing import check_problem, check_schedule


@config
class Odd(Schedule):
    fault: str = option("none", help="what is wrong")

    def natural_count(self, m: int) -> int:
        return 0 if self.fault == "count" else 3

    def draw(self, progress: float, count: int, m: int, generator: Generator) -> Tensor:
        source = None if self.fault == "global" else generator
        rows = torch.rand((count, m), generator=source)
        if self.fault == "shape":
            rows = rows[:, 1:]
        if self.fault == "double":
            rows = rows.double()
        if self.fault == "sum":
            return rows
        return rows / rows.sum(dim=1, keepdim=True)


def test_good_schedules_pass() -> None:
    check_schedule(Odd())
    check_schedule(Dirichlet(), tasks=[1, 40])


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("count", "0 preferences a step"),
        ("global", "torch's global generator"),
        ("shape", "shape"),
        ("double", "float64"),
        ("sum", "not on the simplex"),
    ],
)
def test_a_schedule_that_breaks_its_claim_is_found(fault: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_schedule(Odd(fault=fault))


@config
class Wrong(AnalyticProblem):
    fault: str = option("none", help="what is wrong")

    @property
    def n(self) -> int:
        return 2

    @property
    def m(self) -> int:
        return 2

    def evaluate(self, x: Tensor) -> Tensor:
        return x**2

    @property
    def reference(self) -> tuple[float, ...]:
        return (float("inf"), 1.0) if self.fault == "infinite" else (1.0, 1.0)

    def front(self, points: int) -> Any:
        u = np.linspace(0, 1, points)
        curve = np.stack([u, 1 - u], axis=1)
        if self.fault == "beyond":
            return 2 * curve
        return np.concatenate([curve, curve[:1] + 1]) if self.fault == "dominated" else curve


@pytest.mark.parametrize(
    ("fault", "message"),
    [("infinite", "reference point is"), ("beyond", "cuts the true front off"), ("dominated", "1 points of the true")],
)
def test_a_problem_that_breaks_its_claim_is_found(fault: str, message: str) -> None:
    check_problem(Wrong())
    check_problem(get_problem("digits", train=8, val=8, test=8))
    with pytest.raises(AssertionError, match=message):
        check_problem(Wrong(fault=fault))
