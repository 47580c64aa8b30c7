"""The conformance suite over everything that is registered: a solver or problem is tested from the day it is."""

from __future__ import annotations

import os
from importlib.util import find_spec
from operator import itemgetter
from pathlib import Path
from typing import Any

import attrs
import pytest

from moframework.config import entries
from moframework.errors import DataError, SpecError
from moframework.preferences import Schedule
from moframework.problem import Problem, get_problem
from moframework.run.plan import plan
from moframework.solvers.base import Solver
from moframework.testing import (
    Pair,
    check_pair,
    check_problem,
    check_run,
    check_schedule,
    pairs,
    with_members,
    without_options,
)

# Beside the registered problems with their defaults: a layer for solvers that adapt layers, more tasks, and a table
# for the problem that needs one.
LAYER = {"name": "quadratics", "form": "linear"}
HOUSES = {
    "name": "csv", "path": str(Path(__file__).parent / "problems" / "houses.csv"), "ignore": ["id"],
    "targets": {"price": "regression", "sold": "binary", "kind": "classes"}, "fractions": [0.5, 0.25, 0.25],
}  # fmt: skip
VARIANTS = (LAYER, {**LAYER, "objectives": 3}, {"name": "dtlz2", "objectives": 5, "k": 2}, HOUSES)
# Whole hypernetworks have a hundred times a network's parameters: those of these networks take minutes.
LARGE = {"adult", "arm", "census", "docstrings", "fairness", "german_credit", "multimnist3", "sarcos", "scenes"}
# What a solver searches with each time a run is planned, and a pair is planned several times; or at each evaluation.
SEARCH = {
    "map": {"samples": 8, "population": 20, "generations": 10},
    "qnehvi": {"evaluations": 8, "initial_design": 5, "batch": 2, "samples": 8, "restarts": 1, "raw_samples": 8},
}


def affordable(pair: Pair) -> Pair:
    if pair.solver["name"] in SEARCH:
        return attrs.evolve(pair, solver={**pair.solver, **SEARCH[pair.solver["name"]]})
    if pair.solver["name"] not in ("phn", "phn_hvi") or pair.problem["name"] not in LARGE:
        return pair
    return attrs.evolve(pair, solver={**pair.solver, "weights": "chunked_hypernetwork"})


PAIRS = tuple(map(affordable, pairs() + pairs(problems=VARIANTS)))
# Rows and columns of the matrix: solvers that meet every problem, one of each kind of weight space, and problems that
# meet every solver, one of each kind of data and network. MOFRAMEWORK_MATRIX=whole runs all of it, which takes minutes.
ROWS = {"palora", "pamal", "phn", "cosmos", "multipoint"}
COLUMNS = {"digits", "zdt1", "dtlz2", "quadratics", "csv", "arm", "docstrings", "adult", "scenes", "multimnist"}
WHOLE = os.environ.get("MOFRAMEWORK_MATRIX") == "whole"
CHOSEN = tuple(p for p in PAIRS if WHOLE or p.solver["name"] in ROWS or p.problem["name"] in COLUMNS)


@pytest.mark.parametrize("pair", CHOSEN, ids=str)
def test_pair(pair: Pair, tmp_path: Path) -> None:
    outcome = check_pair(pair, tmp_path)
    if outcome.state == "not run":
        pytest.skip(outcome.reason)


@pytest.mark.parametrize("solver", Solver.names())
def test_every_solver_solves_something(solver: str, tmp_path: Path) -> None:
    """Else refusing everything would pass the matrix."""
    if solver == "qnehvi" and find_spec("botorch") is None:
        pytest.skip("needs the extra botorch")
    for pair in pairs([solver], [LAYER, "digits", "zdt1"]):
        try:
            plan(with_members(pair, tmp_path / "members").spec())
        except SpecError:
            continue
        check_run(pair, tmp_path)
        return
    pytest.fail(f"{solver} refuses all that was offered")


@pytest.mark.parametrize(
    "named", [*({"name": name} for name in without_options(Problem)), HOUSES], ids=itemgetter("name")
)
def test_problem(named: dict[str, Any]) -> None:
    try:
        check_problem(get_problem(**named))
    except DataError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", [entry.name for entry in entries("schedules")])
def test_schedule(name: str) -> None:
    check_schedule(Schedule.lookup(name)())  # type: ignore[arg-type]


def test_the_matrix_is_that_of_the_registry() -> None:
    assert len(PAIRS) == len(Solver.names()) * (len(without_options(Problem)) + len(VARIANTS))
    assert len(Solver.names()) >= 2
    assert len(Problem.names()) >= 13
    assert len({str(pair) for pair in PAIRS}) == len(PAIRS)
    for row, column in ((ROWS, "solver"), (COLUMNS, "problem")):
        assert row <= {getattr(pair, column)["name"] for pair in PAIRS}
    for solver in Solver.names():
        assert {pair.problem["name"] for pair in CHOSEN if pair.solver["name"] == solver} >= COLUMNS
    assert {pair.problem["name"] for pair in CHOSEN} == {pair.problem["name"] for pair in PAIRS}


def test_an_impossible_pair_is_among_them(tmp_path: Path) -> None:
    (pair,) = (pair for pair in PAIRS if str(pair) == "palora-zdt1")
    outcome = check_pair(pair, tmp_path)
    assert outcome.state == "refused"
    assert "low-rank adapters need at least one" in outcome.reason
