"""What can be known of a search before it: whether solver and problem go together, and what it will do."""

from __future__ import annotations

from moframework.blackbox import Budget
from moframework.config import unstructure
from moframework.errors import SpecError
from moframework.problem import BoxFunction
from moframework.processes.world import World
from moframework.solvers.base import Solver
from moframework.spec import Spec

__all__ = ["check_search", "search_lines"]


def check_search(spec: Spec, world: World) -> None:
    """Raise `SpecError` where a search has nothing to search, or a training nothing to follow."""
    function, solver = spec.problem.box_function, spec.solver
    name = unstructure(solver).get("name", type(solver).__name__)
    if not type(solver).searches:
        if function is not None and not function.differentiable:
            searches = [other for other in Solver.names() if _searches(other)]
            raise SpecError(
                f"solver: {name} follows gradients, and the function of this problem has none. Solvers that need only "
                f"its values: {', '.join(searches)}"
            )
        return
    if function is None:
        raise SpecError(
            f"solver: {name} searches a function of variables between bounds, and this problem is none: it has data, "
            "or variables without bounds. Problems that are: black_box (your own function, or one of pymoo's), re21, "
            "zdt1, dtlz2 and their like"
        )
    if spec.constraints:
        raise SpecError(
            f"constraints: {name} heeds none: leave them out and choose among its evaluations by moframework pick RUN "
            "--where CONDITION"
        )
    if world.size > 1:
        raise SpecError(f"solver: {name} searches in one process; start it without torchrun")


def search_lines(budget: Budget, function: BoxFunction | None) -> list[str]:
    """Lines on how evaluations are spent."""
    assert function is not None, "the plan has checked it"
    later = budget.evaluations - budget.initial
    batches = -(-later // budget.batch)
    then = f", then {batches} batches of {budget.batch}" if later else ""
    return [
        f"search      {budget.evaluations:,} evaluations of {function.objectives} objectives of {function.variables} "
        f"variables: {budget.initial} of a Latin hypercube{then}",
        f"            at most {budget.failures} of them may fail; `check` makes none",
    ]


def _searches(name: str) -> bool:
    return bool(getattr(Solver.lookup(name), "searches", False))
