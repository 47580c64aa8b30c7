"""Groups of people from a column, and the task that compares them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from moframework.config import OptionError
from moframework.data.table import Column
from moframework.errors import DataError
from moframework.losses import BinaryCrossEntropy, EqualOpportunity
from moframework.problem.group_fairness import GroupFairness, Groups, fairness_task, gaps_of, group_notes
from moframework.problem.task import Task

INCOME = Task(name="income", loss=BinaryCrossEntropy())


def column(*cells: str) -> Column:
    return Column.of("age", cells)


def test_groups_are_the_known_values_in_order() -> None:
    groups = Groups.of(column("b", "?", "a", "b"), missing=["?"])
    assert (groups.names, groups.codes.tolist()) == (("a", "b"), [1, -100, 0, 1])
    assert Groups.of(column("10", "9")).names == ("9", "10")


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (("a", "a", "?"), "column 'age' has one value only, 'a': there are no groups to compare"),
        (("?", "?"), "has no known value"),
        (
            tuple(str(i) for i in range(61)),
            r"61 different numbers: .* such as `bins: \[15, 30, 45\]`, .* `categorical`",
        ),
        (tuple(f"v{i}" for i in range(101)), "101 different values, such as 'v0' and 'v99': 100 groups are the most"),
    ],
)
def test_columns_that_say_no_groups_are_refused(cells: tuple[str, ...], words: str) -> None:
    with pytest.raises(DataError, match=words):
        Groups.of(column(*cells), missing=["?"])


def test_numbers_may_be_codes() -> None:
    assert len(Groups.of(column(*(str(i) for i in range(61))), codes=True).names) == 61


def test_bins_take_numbers_apart() -> None:
    groups = Groups.of(column("29.9", "30", "49", "50", "?", "-1"), (30, 50), ["?"])
    assert groups.codes.tolist() == [0, 1, 1, 2, -100, 0]
    with pytest.raises(DataError, match="has no number 90 or more: it runs from 1 to 2; choose other bins"):
        Groups.of(column("1", "2"), (2, 90))
    with pytest.raises(DataError, match="column 'age' has 'old' in row 2"):
        Groups.of(column("1", "old"), (2,))
    with pytest.raises(OptionError, match="bins must grow"):
        GroupFairness(bins=(50.0, 30.0))


def test_the_decided_target_is_the_binary_one() -> None:
    kinds = {"income": "binary", "age": "regression"}
    assert gaps_of({"sex": "equal_opportunity"}, kinds) == {  # type: ignore[arg-type]
        "sex": GroupFairness(criterion="equal_opportunity", of="income")
    }


@pytest.mark.parametrize(
    ("fairness", "kinds", "key", "words"),
    [
        ({"sex": GroupFairness()}, {"age": "regression"}, "fairness.sex", "a binary target, but there are none"),
        ({"sex": GroupFairness()}, {"a": "binary", "b": "binary"}, "fairness.sex", r"2 \(a, b\): say which with `of`"),
        ({"sex": GroupFairness(of="incom")}, {"income": "binary"}, "fairness.sex.of", "did you mean 'income'"),
        ({"income": GroupFairness()}, {"income": "binary"}, "fairness.income", "cannot be group and target"),
        ({"sex": GroupFairness(of="y")}, {"y": "binary", "sex_gap": "binary"}, "fairness", "'sex_gap', as a target is"),
    ],
)
def test_what_cannot_be_meant_is_refused(fairness: dict, kinds: dict, key: str, words: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(OptionError, match=words) as error:
        gaps_of(fairness, kinds)
    assert error.value.key == key


def test_a_task_reads_the_output_of_the_other() -> None:
    task = fairness_task("sex_gap", "equal_opportunity", INCOME, 3, published=True)
    assert (task.output_key, task.target_key, task.size) == ("income", "sex_gap", 1)
    assert task.loss == EqualOpportunity(groups=3, form="published")
    assert [metric.label for metric in task.metrics] == ["equal_opportunity", "equal_opportunity_published"]


def test_notes_tell_the_groups_and_those_with_few_samples() -> None:
    groups = Groups("sex", ("Female", "female", "Male"), torch.tensor([0, 2] * 40 + [1, -100] * 2))
    labels = torch.tensor([1, 1, 0, 0] * 21)
    rows = {"train": np.arange(60), "val": np.arange(60, 70), "test": np.arange(70, 84)}
    notes = group_notes(fairness_task("sex_gap", "demographic_parity", INCOME, 3), labels, groups, rows)  # type: ignore[arg-type]
    assert notes[0] == "sex_gap: groups Female (40), female (2), Male (40) of column 'sex'; 2 rows are in none"
    assert notes[1] == "sex_gap: 'Female' and 'female' are two groups; where they are one, write them alike"
    assert notes[2].startswith(
        "sex_gap: of group 'Female' there are few samples (5 in val, 5 in test), so that its rate"
    )
    assert "of group 'female' there are few samples (0 in train, 0 in val, 2 in test)" in notes[3]
    among = group_notes(fairness_task("sex_gap", "equal_opportunity", INCOME, 3), labels, groups, rows)  # type: ignore[arg-type]
    assert "of group 'Female' there are few samples of class 1 (15 in train" in among[2]
