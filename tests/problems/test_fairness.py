"""`fairness`: on the small table of the tests of `census`, and on the real data where MOFRAMEWORK_DATA has it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from moframework.problems.census import Census
from moframework.problems.fairness import Fairness

from moframework.data import SPLITS
from moframework.errors import DataError
from moframework.problem import get_problem
from tests.problems.test_census import ASKED, INCOME, INCOMES, SEX, root

__all__ = ["root"]

MEN = [int(row[SEX] == "Male") for row in ASKED]
RICH = [INCOMES.index(row[INCOME]) for row in ASKED]


def test_facts() -> None:
    problem = get_problem("fairness")
    assert problem == Fairness()
    assert [task.name for task in problem.tasks] == ["income", "demographic_parity"]
    assert problem.outputs == {"income": 2}  # one output, two objectives
    assert problem.reference == (0.25, 0.15)
    other = get_problem("fairness", gap="equal_opportunity")
    assert [task.name for task in other.tasks] == ["income", "equal_opportunity"]


def test_sizes_and_types(root: Path) -> None:
    for problem in (Fairness(root=root), Fairness(root=root, gap="equal_opportunity", sex_is_input=True)):
        for split in SPLITS:
            data = problem.data(split)
            assert data.inputs.shape == (len(data), *problem.input_shape)
            assert set(data.targets) == {"income", "group"}
            assert all(target.dtype == torch.int64 for target in data.targets.values())
        problem.check()


def test_groups(root: Path) -> None:
    data = Fairness(root=root).data("test")
    assert data.targets["income"].tolist() == RICH
    assert data.targets["group"].tolist() == MEN
    among = Fairness(root=root, gap="equal_opportunity").data("test").targets["group"].tolist()
    assert among == [man if rich else -100 for man, rich in zip(MEN, RICH, strict=True)]


def test_sex_is_an_input_only_if_asked_for(root: Path) -> None:
    told, untold = Fairness(root=root, sex_is_input=True), Fairness(root=root)
    assert told.input_shape[0] == untold.input_shape[0] + 1
    inputs = told.data("test").inputs
    assert torch.equal(inputs[:, :-1], untold.data("test").inputs)
    assert inputs[:, -1].tolist() == MEN
    assert torch.equal(inputs, Census(root=root, tasks=("income",)).data("test").inputs)


def test_missing_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no census-income\.data"):
        Fairness(root=tmp_path).data("train")


real = pytest.mark.skipif(
    "MOFRAMEWORK_DATA" not in os.environ, reason="set MOFRAMEWORK_DATA to a folder with census/ to run on real data"
)


@pytest.mark.real_data
@real
def test_real_data() -> None:
    problem = Fairness()
    assert problem.input_shape == (483,)
    data = problem.data("test")
    income, man = data.targets["income"].float(), data.targets["group"] == 1
    assert float(income.mean()) == pytest.approx(0.062, abs=0.001)
    assert float(income[man].mean()) == pytest.approx(0.10, abs=0.005)
    assert float(income[~man].mean()) == pytest.approx(0.025, abs=0.003)
