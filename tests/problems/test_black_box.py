"""Functions of one's own and of pymoo as problems; what cannot be searched is refused with words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pymoo.problems import get_problem as pymoo_problem

from moframework.errors import SpecError
from moframework.problem import get_problem
from moframework.spec import load_spec

BEAM = """
def beam(x, *, load: float = 10.0):
    "Two objectives. load: on the beam"
    return [x[0] * x[1], load / x[0]]
"""


def problem(function: Any, **options: Any) -> Any:
    return get_problem("black_box", function=function, **options)


def test_a_function_of_pymoo() -> None:
    found = problem({"name": "pymoo", "problem": "zdt1", "options": {"n_var": 4}})
    x = np.random.default_rng(0).random((5, 4))
    np.testing.assert_allclose(
        found.evaluate(torch.from_numpy(x)).numpy(), pymoo_problem("zdt1", n_var=4).evaluate(x), rtol=1e-12
    )
    assert (found.n, found.m, found.bounds) == (4, 2, ((0.0,) * 4, (1.0,) * 4))
    box = found.box_function
    assert (box.variables, box.objectives, box.differentiable) == (4, 2, False)
    assert hash(found) == hash(problem({"name": "pymoo", "problem": "zdt1", "options": {"n_var": 4}}))


def test_a_function_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "beam.py").write_text(BEAM)
    function = {"python": f"{tmp_path}/beam.py:beam", "load": 12.0}
    found = problem(function, lower=[0.5, 1], upper=[2, 3], objectives=2)
    np.testing.assert_allclose(found.box_function.values(np.array([2.0, 3.0])), [6.0, 6.0])
    with pytest.raises(SpecError, match=r"function\.lode: unknown key.*did you mean 'load'"):
        problem({**function, "lode": 1}, lower=[0.5, 1], upper=[2, 3], objectives=2)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ({"problem": "bnh"}, "'bnh' has 2 constraints, and the searches here heed none"),
        ({"problem": "zdt11"}, r"pymoo has no problem 'zdt11'; did you mean 'zdt1'\?"),
        ({"problem": "zdt1", "options": {"n_vars": 3}}, r"'zdt1' takes no 'n_vars'; did you mean 'n_var'\?"),
        ({"problem": "zdt1", "options": {"n_var": "x"}}, "pymoo cannot make 'zdt1' with"),
    ],
)
def test_what_pymoo_has_but_no_search_can_use_is_refused(function: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        problem({"name": "pymoo", **function})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"upper": [1, 1], "objectives": 2}, "lower: must be given"),
        ({"lower": [0, 0], "upper": [1, 1]}, "objectives: must be given"),
        ({"lower": [0], "upper": [1, 1], "objectives": 2}, "1 and 2 numbers"),
        ({"lower": [0, 1], "upper": [1, 1], "objectives": 2}, "below that of upper"),
        ({"lower": [0, 0], "upper": [1, float("inf")], "objectives": 2}, "must be finite"),
    ],
)
def test_bounds_and_objectives_are_checked(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    (tmp_path / "beam.py").write_text(BEAM)
    with pytest.raises(SpecError, match=words):
        problem({"python": f"{tmp_path}/beam.py:beam"}, **options)


def test_bounds_that_the_function_states_are_not_stated_again() -> None:
    with pytest.raises(SpecError, match="lower: must be left out"):
        problem({"name": "pymoo", "problem": "zdt1"}, lower=[0, 0])


def test_options_survive_the_round_trip(tmp_path: Path) -> None:
    spec = load_spec(
        {
            "problem": {"name": "black_box", "function": {"name": "pymoo", "problem": "zdt1", "options": {"n_var": 3}}},
            "solver": "psl",
        }
    )
    (tmp_path / "spec.yaml").write_text(spec.to_yaml())
    assert load_spec(tmp_path / "spec.yaml").problem == spec.problem
