"""`black_box`: a function of your own, or one of pymoo's, of which nothing is known but its values. Needs no data."""

from __future__ import annotations

import functools
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.errors import SpecError
from moframework.problem import ObjectiveFunction
from moframework.problem.analytic import AnalyticProblem

__all__ = ["BlackBox"]

_KEPT = 1024  # points whose values are remembered, since each objective asks for its own


@config
class BlackBox(AnalyticProblem):
    """m objectives of a vector x, all minimized, that a function returns: expensive, and without gradients.

    It is what solvers that search (`psl`, `nsga2`, `qnehvi`) are for; those that follow gradients refuse it. The
    function is one of pymoo's by name, `{name: pymoo, problem: kursawe}`, or Python of yours, which takes a point (n,)
    and returns m numbers::

        problem:
          name: black_box
          function: {python: ./beam.py:beam, load: 12.0}
          lower: [0.1, 0.1]
          upper: [2.0, 5.0]
          objectives: 2

    It is called by `solve`, once for each evaluation of the search, and by whatever evaluates the finished run at other
    preferences (`moframework evaluate`, `export`), never by `check`. Nothing is known of its true front; its reference
    point is that of `reference`, else of `evaluate.reference`, else the search's own.

    >>> from moframework.problems.pymoo_function import PymooFunction
    >>> problem = BlackBox(function=PymooFunction(problem="kursawe"))
    >>> problem.n, problem.m, problem.bounds
    (3, 2, ((-5.0, -5.0, -5.0), (5.0, 5.0, 5.0)))
    """

    differentiable: ClassVar[bool] = False

    function: ObjectiveFunction = option(help="what is minimized: {name: pymoo, …} or {python: ./file.py:function}")
    lower: tuple[float, ...] | None = option(
        None, help="least value of each variable, n numbers; none where the function states its own"
    )
    upper: tuple[float, ...] | None = option(None, help="largest value of each variable, likewise")
    objectives: int | None = option(
        None, ge=2, le=100, help="number m of objectives; none where the function states its own"
    )

    def __attrs_post_init__(self) -> None:
        stated = {"lower": self.lower, "upper": self.upper, "objectives": self.objectives}
        for key, value in stated.items():
            known = self.function.objectives if key == "objectives" else self.function.bounds
            if known is None and value is None:
                raise OptionError(f"{key} must be given, for the function does not state it", key)
            if known is not None and value is not None:
                raise OptionError(f"{key} must be left out, for the function states its own", key)
        lower, upper = self.bounds
        if not lower or len(lower) != len(upper):
            raise OptionError(
                f"lower and upper have {len(lower)} and {len(upper)} numbers, which do not match", "upper"
            )
        if not all(np.isfinite([*lower, *upper])) or not all(a < b for a, b in zip(lower, upper, strict=True)):
            raise OptionError(
                f"lower and upper must be finite, each number of lower below that of upper, but they are {list(lower)} "
                f"and {list(upper)}",
                "upper",
            )

    @property
    def n(self) -> int:
        """As many as bounds."""
        return len(self.bounds[0])

    @property
    def m(self) -> int:
        """`objectives`, or what the function states."""
        known = self.function.objectives if self.objectives is None else self.objectives
        assert known is not None, "one of both is there"
        return known

    @property
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """`lower` and `upper`, or what the function states."""
        if self.function.bounds is not None:
            return self.function.bounds
        return self.lower or (), self.upper or ()

    def evaluate(self, x: Tensor) -> Tensor:
        """The objectives (b, m) of points (b, n), one after the other, without gradients; those of the last thousand
        points are remembered."""
        rows = [_values(self, tuple(row)) for row in x.detach().cpu().double().tolist()]
        return torch.tensor(rows, dtype=x.dtype, device=x.device)


@functools.lru_cache(maxsize=_KEPT)
def _values(problem: BlackBox, x: tuple[float, ...]) -> tuple[float, ...]:
    returned = problem.function(np.array(x))
    try:
        found = np.asarray(returned, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SpecError(f"problem.function: must return {problem.m} numbers, but {error}") from error
    return tuple(found.reshape(-1).tolist())
