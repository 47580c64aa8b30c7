"""The matrix of solvers and problems that the suite runs over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from attrs import frozen

from moframework.config import Component, build, unstructure
from moframework.config.fields import options_of
from moframework.problem import Problem
from moframework.solvers.base import Solver
from moframework.spec import Spec, load_spec
from moframework.testing.subset import Subset

__all__ = ["Named", "Pair", "pairs", "without_options"]

Named = str | Mapping[str, Any] | Component
"""A part as a spec names it: by its name, by a mapping with options, or the object itself."""

_SAMPLES, _BATCH, _STEPS = 16, 8, 4
_SEARCH = {
    **{"evaluations": 8, "initial_design": 5, "batch": 2, "steps": 5, "candidates": 20},
    **{"samples": 8, "restarts": 1, "raw_samples": 8},
}
"""Options of a search that spends few evaluations, where it has them."""


@frozen
class Pair:
    """A solver and a problem, each as a spec would name it."""

    solver: Mapping[str, Any]
    problem: Mapping[str, Any]

    def __str__(self) -> str:
        """`palora-zdt1`, for the names of tests."""
        return f"{_label(self.solver)}-{_label(self.problem)}"

    def mapping(self) -> dict[str, Any]:
        """A spec of a few steps on a few samples, as plain data. Everything not said here is left at its default."""
        few = unstructure(Subset(problem=load_problem(self.problem), samples=_SAMPLES))
        return {
            "name": "conformance",
            "problem": few,
            "solver": {**_sparing_options(self.solver), **self.solver},
            "training": {
                "steps": _STEPS,
                "batch_size": _BATCH,
                "device": "cpu",
            },
            "evaluate": {"every": 0, "points": _points(len(load_problem(self.problem).tasks))},
        }

    def spec(self) -> Spec:
        """The spec. Raises `SpecError` when solver or problem cannot even be named so."""
        return load_spec(self.mapping())


def pairs(solvers: Iterable[Named] | None = None, problems: Iterable[Named] | None = None) -> tuple[Pair, ...]:
    """Every solver with every problem.

    Args:
        solvers: as a spec names them, or objects; None for all that are registered and need no options.
        problems: likewise.

    >>> [str(pair) for pair in pairs(["palora"], ["digits", {"name": "dtlz2", "objectives": 4}])]
    ['palora-digits', 'palora-dtlz2(objectives=4)']
    """
    chosen = without_options(Solver) if solvers is None else tuple(solvers)
    given = without_options(Problem) if problems is None else tuple(problems)
    return tuple(Pair(_mapping(solver), _mapping(problem)) for solver in chosen for problem in given)


def without_options(interface: type[Component]) -> tuple[str, ...]:
    """The registered names that mean something by themselves. Others, such as `csv`, which needs a table, can only be
    tested with options of the tester's."""
    return tuple(
        name for name in interface.names() if not any(option.required for option in options_of(interface.lookup(name)))
    )


def load_problem(named: Mapping[str, Any]) -> Problem:
    """The problem that a spec names so. Raises `SpecError`."""
    return build(Problem, dict(named), trust=True)  # type: ignore[type-abstract]


def _sparing_options(named: Mapping[str, Any]) -> dict[str, Any]:
    """Options by which a solver that searches is done soon; none of other solvers, or of those without a name."""
    cls = Solver.lookup(str(named["name"])) if "name" in named else None
    if cls is None or not cls.searches:  # type: ignore[attr-defined]
        return {}
    return {option.key: _SEARCH[option.key] for option in options_of(cls) if option.key in _SEARCH}


def _mapping(named: Named) -> Mapping[str, Any]:
    if isinstance(named, str):
        return {"name": named}
    if isinstance(named, Mapping):
        return named
    return cast(dict[str, Any], unstructure(named))


def _label(named: Mapping[str, Any]) -> str:
    rest = dict(named)
    name = str(rest.pop("name", None) or rest.pop("python", "declared")).rpartition(":")[2]
    options = ",".join(f"{key}={value}" for key, value in rest.items() if isinstance(value, str | int | float))
    return f"{name}({options})" if options else name


def _points(m: int) -> int:
    """An evaluation set as small as can be: the vertices and the center, or a little more."""
    return 3 if m <= 2 else m + 1
