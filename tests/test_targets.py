"""Targets from columns: kinds, order of categories, standardization, splits, and columns that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from moframework.columns import Column
from moframework.errors import DataError
from moframework.losses import MSE, BinaryCrossEntropy, CrossEntropy
from moframework.targets import Target, TargetKind, column_of, targets_of

ALL = np.arange(4)


def column(*cells: str) -> Column:
    return Column.of("c", cells)


def test_regression_has_the_scale_of_the_training_rows() -> None:
    target = Target.of(column("1", "3", "5", "100"), "regression", np.array([0, 1]))
    assert target.values.tolist() == [-1, 1, 3, 98]
    assert target.values.dtype == torch.float32
    assert (target.task.loss, target.task.size, target.categories) == (MSE(), 1, ())
    assert [metric.label for metric in target.task.metrics] == ["mae"]


@pytest.mark.parametrize(
    ("cells", "values", "categories"),
    [
        (("1", "0", "0", "1"), [1, 0, 0, 1], ("0", "1")),
        (("no", "yes", "yes", "no"), [0, 1, 1, 0], ("no", "yes")),
        (("10", "9", "10", "9"), [1, 0, 1, 0], ("9", "10")),  # as numbers, not as text
    ],
)
def test_binary(cells: tuple[str, ...], values: list[int], categories: tuple[str, ...]) -> None:
    target = Target.of(column(*cells), "binary", ALL)
    assert target.values.tolist() == values
    assert target.values.dtype == torch.int64
    assert target.categories == categories
    assert (target.task.loss, target.task.size) == (BinaryCrossEntropy(), 1)


def test_names_of_columns_become_names_of_tasks() -> None:
    assert Target.of(Column.of("a.b/c", ("0", "1")), "binary", ALL[:2]).task.name == "a_b_c"


def test_classes_are_those_of_the_whole_table() -> None:
    target = Target.of(column("cat", "ant", "bee", "ant"), "classes", np.array([1]))
    assert target.values.tolist() == [2, 0, 1, 0]
    assert (target.task.loss, target.task.size) == (CrossEntropy(), 3)


@pytest.mark.parametrize(
    ("cells", "kind", "words"),
    [
        (("1", "2", "3", "1"), "binary", "'c' is to be binary, but has 3 values: 1, 2, 3; say `classes`"),
        (("1", "1", "1", "1"), "binary", "has 1 values"),
        (("a", "a", "a", "a"), "classes", "'c' has one value only, a: there is nothing to learn"),
        (("1", "2", "x", "1"), "regression", "'c' has 'x' in row 3, which is no finite number"),
        (("1", "2", "", "1"), "regression", "no finite number"),
    ],
)
def test_columns_that_do_not_fit(cells: tuple[str, ...], kind: TargetKind, words: str) -> None:
    with pytest.raises(DataError, match=words):
        Target.of(column(*cells), kind, ALL)


def test_targets_come_in_the_order_of_the_spec() -> None:
    columns = {name: Column.of(name, ("0", "1", "1", "0")) for name in ("price", "sold")}
    assert list(targets_of(columns, {"sold": "binary", "price": "regression"}, ALL, "t.csv")) == ["sold", "price"]
    with pytest.raises(DataError, match=r"t\.csv has no column 'prise'; it has price, sold; did you mean 'price'"):
        column_of(columns, "prise", "t.csv")
