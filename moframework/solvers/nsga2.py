"""NSGA-II of pymoo, the evolutionary baseline of searches."""

from __future__ import annotations

from typing import ClassVar

from moframework.blackbox import Search
from moframework.blackbox.nsga2 import NSGA2Search
from moframework.config import config, option
from moframework.solvers.searching import Searching
from moframework.weights import WeightSpaceConfig
from moframework.weights.finite import Finite

__all__ = ["NSGA2"]


@config
class NSGA2(Searching):
    """NSGA-II (Deb et al., 2002) as pymoo has it: a population of `initial_design` points, `batch` children at a time.

    It learns no model: its network at a preference returns one of the evaluated points, and there is nothing between
    them. A baseline where evaluations are few; it takes thousands of cheap ones without slowing down.

    A function of pymoo, with 50 generations after the first population::

        problem: {name: black_box, function: {name: pymoo, problem: kursawe}}
        solver: {name: nsga2, evaluations: 2000, initial_design: 40, batch: 40}
    """

    continuous: ClassVar[bool] = False

    batch: int = option(20, ge=1, le=100_000, help="children of a generation")

    def weight_space(self, m: int) -> WeightSpaceConfig:
        """A point at each vertex, until there are evaluated ones."""
        return Finite(anchors=vertices(m))

    def search(self, m: int) -> Search:
        """See the class."""
        return NSGA2Search(budget=self.budget)


def vertices(m: int) -> tuple[tuple[float, ...], ...]:
    """The m vertices of the simplex.

    >>> vertices(2)
    ((1.0, 0.0), (0.0, 1.0))
    """
    return tuple(tuple(float(i == j) for j in range(m)) for i in range(m))
