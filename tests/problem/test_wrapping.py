"""Problems that are another one but for a few parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moframework.backbones.base import Backbone
from moframework.backbones.mlp import MLP
from moframework.config import build, config, option, unstructure
from moframework.data import Dataset, Split
from moframework.errors import SpecError
from moframework.problem import Problem, WrappedProblem, get_problem
from moframework.testing import Subset, check_pair, pairs
from tests.problem.parts import Pictures, Shared

# What follows from the other parts, and what makes problems.
DERIVED = {"outputs", "backbone", "check", "customized", "input_form", "from_function", "from_object"}


@config
class Same(WrappedProblem):
    problem: Problem = option(help="the problem")

    @property
    def wrapped(self) -> Problem:
        return self.problem


@config
class FewLabels(Same):
    """The example of the class."""

    labels: int = option(100, ge=1, help="training samples that are left, at most")

    @property
    def network(self) -> Backbone:
        return MLP(hidden=(5,))

    def data(self, split: Split) -> Dataset:
        data: Any = self.problem.data(split)
        few = range(min(self.labels, len(data)))
        return torch.utils.data.Subset(data, few) if split == "train" else data


def test_everything_that_a_problem_says_is_forwarded() -> None:
    said = {
        name
        for name, value in vars(Problem).items()
        if not name.startswith("_") and (callable(value) or isinstance(value, property | classmethod))
    }
    said -= {"of_function", "returns", "unnamed", "overrides"}  # class data
    assert said >= DERIVED | {"tasks", "network", "hypervolume"}
    assert said - DERIVED == set(vars(WrappedProblem)) & said


@pytest.mark.parametrize("problem", [Shared(), Pictures(), get_problem("zdt1"), get_problem("digits")], ids=repr)
def test_parts_are_those_of_the_other_problem(problem: Problem) -> None:
    same = Same(problem=problem)
    for name in ("tasks", "network", "input_shape", "maps", "augmentation", "reference", "outputs"):
        assert getattr(same, name) == getattr(problem, name), name
    np.testing.assert_array_equal(same.true_front, problem.true_front)
    assert same.hypervolume() == problem.hypervolume()
    ours, theirs = (one.data("val") for one in (same, problem))
    assert all(torch.equal(a, b) for a, b in zip(ours[0][1].values(), theirs[0][1].values(), strict=True))


def test_a_hypervolume_at_another_reference() -> None:
    zdt1 = get_problem("zdt1")
    assert Same(problem=zdt1).hypervolume((2.0, 3.0)) == zdt1.hypervolume((2.0, 3.0)) != zdt1.hypervolume()
    assert Subset(problem=zdt1).hypervolume() == zdt1.hypervolume()


def test_what_is_overridden_differs(tmp_path: Path) -> None:
    digits = get_problem("digits", train=64, val=8, test=8)
    few = FewLabels(problem=digits, labels=16)
    sizes = [len(few.data(split)) for split in ("train", "val", "test")]  # type: ignore[arg-type]
    assert sizes == [16, 8, 8]
    assert (few.network, few.tasks) == (MLP(hidden=(5,)), digits.tasks)
    assert build(Problem, unstructure(few)) == few  # type: ignore[type-abstract]
    (pair,) = pairs(["palora"], [few])
    assert check_pair(pair, tmp_path).state == "solved"


FUNCTIONS = """
from moframework import get_problem

def deep():
    return {}["missing"]  # line 5

def mine(broken: bool = True):
    return deep() if broken else None
"""


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (True, r"^problem: the function mine fails: KeyError: 'missing' \(.*mine\.py:5\)$"),
        (False, r"^problem: the function mine must return a problem, but returned a NoneType \(.*mine\.py:7\): make"),
    ],
)
def test_a_function_that_fails_is_told_with_its_line(broken: bool, words: str, tmp_path: Path) -> None:
    """It was a bare traceback: whatever asks the problem first calls the function, outside of all that blames."""
    (tmp_path / "mine.py").write_text(FUNCTIONS)
    given = {"python": f"{tmp_path}/mine.py:mine", "broken": broken}
    problem = build(Problem, given, trust=True)  # type: ignore[type-abstract]
    for ask in (lambda: problem.tasks, lambda: problem.data("train"), problem.check):
        with pytest.raises(SpecError, match=words) as error:
            ask()
        assert isinstance(error.value.__cause__, KeyError) == broken
    with pytest.raises(SpecError) as found:
        build(Problem, {**given, "tasks": {"left": {"size": 2}}}, trust=True)  # type: ignore[type-abstract]
    assert "the function mine" in str(found.value)


def test_losses_and_metrics_that_fail_are_told_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def loss(output, target):\n    raise ValueError('no')\n")
    given = {"name": "digits", "train": 8, "val": 8, "test": 8}
    changed = {**given, "tasks": {"left": {"loss": {"python": f"{tmp_path}/mine.py:loss"}}}}
    with pytest.raises(SpecError, match=r"task 'left': the loss cannot be computed: no \(.*mine\.py:2\)"):
        build(Problem, changed, trust=True).check()  # type: ignore[type-abstract]
