"""The search of NSGA-II, by pymoo."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import frozen

from moframework.blackbox.base import Budget, Request, Search
from moframework.blackbox.finite_set import finite_model
from moframework.model import ParetoModel
from moframework.seeding import derive_seed

__all__ = ["NSGA2Search"]

Array = npt.NDArray[np.float64]


@frozen(kw_only=True)
class NSGA2Search(Search):
    """NSGA-II (Deb et al., IEEE Transactions on Evolutionary Computation 6(2), 2002) as pymoo has it.

    The population after each batch is what survives of the one before and the batch, with the initial design as the
    first; children come from it by tournament, simulated binary crossover and polynomial mutation. Failed evaluations
    leave no child.
    """

    budget: Budget

    def propose(self, request: Request) -> Array:
        """See `Search.propose`."""
        algorithm = self._told(request)
        algorithm.n_offsprings = request.count
        found: Array = np.asarray(algorithm.ask().get("X"), dtype=np.float64)[: request.count]
        missing = request.count - len(found)  # pymoo gives up on children that are copies
        more = request.generator().random((missing, request.function.variables))
        return np.vstack([found, more])

    def model(self, request: Request, rows: npt.NDArray[np.int64], preferences: Array) -> ParetoModel:
        """The non-dominated points, a preference each."""
        return finite_model(request, rows, preferences)

    def _told(self, request: Request) -> Any:
        """The algorithm, from its start through all batches so far."""
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.evaluator import Evaluator
        from pymoo.core.population import Population
        from pymoo.core.problem import Problem
        from pymoo.problems.static import StaticProblem

        function, known = request.function, request.known
        problem = Problem(n_var=function.variables, n_obj=function.objectives, xl=0.0, xu=1.0)
        good = np.array([one.batch for one in known if one.values is not None])
        first = request.unit[good == good.min()]
        algorithm: Any = NSGA2(pop_size=self.budget.initial, n_offsprings=self.budget.batch, sampling=first)
        algorithm.setup(problem, seed=derive_seed(request.seed, 0, 0) % 2**32)
        for batch in np.unique(good):
            rows = good == batch
            algorithm.ask()
            told = Population.new(X=request.unit[rows])
            Evaluator().eval(StaticProblem(problem, F=known.values[rows]), told)
            algorithm.tell(infills=told)
        return algorithm
