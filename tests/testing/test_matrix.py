from __future__ import annotations

import pytest

from moframework.errors import SpecError
from moframework.problem import Problem, get_problem
from moframework.solvers.base import Solver
from moframework.testing import Subset, pairs, without_options
from tests.testing.faulty import Faulty


def test_all_that_is_registered() -> None:
    found = pairs()
    assert len(found) == len(Solver.names()) * len(without_options(Problem))
    assert "palora-digits" in {str(pair) for pair in found}


def test_what_needs_options_is_left_to_the_tester() -> None:
    assert set(Problem.names()) - set(without_options(Problem)) == {"black_box", "csv", "images"}
    assert without_options(Solver) == Solver.names()


def test_names_mappings_and_objects() -> None:
    problems = ["digits", {"name": "dtlz2", "objectives": 4}, get_problem("zdt1", variables=3)]
    found = [str(pair) for pair in pairs(["multipoint", Faulty(fault="noisy")], problems)]
    assert found[:2] == ["multipoint-digits", "multipoint-dtlz2(objectives=4)"]
    assert found[3] == "Faulty(fault=noisy,counting=False)-digits"
    assert len(found) == 6


def test_the_spec_is_small_and_leaves_defaults() -> None:
    (pair,) = pairs(["palora"], ["digits"])
    spec = pair.spec()
    assert spec.solver == Solver.lookup("palora")()
    assert isinstance(spec.problem, Subset)
    assert spec.problem.problem == get_problem("digits")
    assert [len(spec.problem.data(split)) for split in ("train", "val", "test")] == [16, 16, 16]


def test_a_wrong_option_is_no_refusal() -> None:
    (pair,) = pairs([{"name": "palora", "rang": 1}], ["digits"])
    with pytest.raises(SpecError, match=r"solver.rang.*rank"):
        pair.spec()
