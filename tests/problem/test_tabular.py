"""Targets from columns: kinds, order of categories, standardization, splits, and columns that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from moframework.config.options import OptionError
from moframework.data import SPLITS, random_split
from moframework.data.table import Column
from moframework.errors import DataError
from moframework.losses import MSE, BinaryCrossEntropy, CrossEntropy
from moframework.problem.tabular import (
    UNKNOWN,
    Target,
    TargetKind,
    check_columns,
    check_learned,
    check_targets,
    column_of,
    label_notes,
    labeled,
    respelled,
    spellings,
    split_rows,
    targets_of,
)

ALL = np.arange(4)


def column(*cells: str) -> Column:
    return Column.of("c", cells)


def test_regression_has_the_scale_of_the_training_rows() -> None:
    target = Target.of(column("1", "3", "5", "100"), "regression", np.array([0, 1]))
    assert target.values.tolist() == [-1, 1, 3, 98]
    assert target.values.dtype == torch.float32
    assert (target.task.loss, target.task.size, target.categories) == (MSE(), 1, ())
    assert [metric.label for metric in target.task.metrics] == ["mae"]
    assert (target.task.mean, target.task.deviation) == (2, 1), "so that metrics are in the column's own unit"
    assert Target.of(column("10", "30"), "regression", np.array([0, 1])).task.deviation == 10


def test_what_is_missing_is_no_number_and_no_class() -> None:
    number = Target.of(column("1", "3", "NA", "100"), "regression", np.array([0, 1, 2]), missing=("NA",))
    assert number.values[[0, 1, 3]].tolist() == [-1, 1, 98], "mean and variance are those of the known ones"
    assert number.values[2].isnan()
    plain = Target.of(column("1", "NA", "5", "2"), "regression", ALL, standardize=False, missing=("NA",))
    assert plain.values.isnan().tolist() == [False, True, False, False]
    binary = Target.of(column("no", "", "yes", "no"), "binary", ALL, missing=("",))
    assert (binary.values.tolist(), binary.categories) == ([0, UNKNOWN, 1, 0], ("no", "yes"))
    classes = Target.of(column("b", "", "a", "c"), "classes", ALL, missing=("",))
    assert (classes.values.tolist(), classes.task.size) == ([1, UNKNOWN, 0, 2], 3)
    with pytest.raises(DataError, match="has no known value: there is nothing to learn"):
        Target.of(column("", "", "", ""), "classes", ALL, missing=("",))


def test_regression_may_keep_its_numbers() -> None:
    target = Target.of(column("1", "3", "5", "100"), "regression", np.array([0, 1]), standardize=False)
    assert target.values.tolist() == [1, 3, 5, 100]
    assert target.values.dtype == torch.float32


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
        (("1", "0", "0", "1", "o"), "binary", r"has 3 values: 0, 1, o \(the rarest, 'o', in row 5\); say `classes`"),
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
    with pytest.raises(DataError, match=r"t\.csv has no column 'prise'; did you mean 'price'\? it has price, sold"):
        column_of(columns, "prise", "t.csv")


def test_all_columns_that_are_not_there_are_told() -> None:
    columns = {"price": Column.of("price", ("0", "1"))}
    check_columns(columns, ["price"], "t.csv")
    with pytest.raises(DataError, match=r"no column 'prise'; did you mean 'price'\?.*\n.*no column 'x'; it has price$"):
        check_columns(columns, ["prise", "price", "x"], "t.csv")


@pytest.mark.parametrize(
    ("targets", "words"),
    [({}, "at least one column"), ({"a/b": "binary", "a.b": "classes"}, "two tasks of one name")],
)
def test_targets_that_make_no_tasks(targets: dict[str, TargetKind], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        check_targets(targets)


def test_rows_by_a_column() -> None:
    columns = {"part": Column.of("part", ("test", "Train", "valid", "train", "VAL"))}
    rows = split_rows(columns, "part", (0.7, 0.1, 0.2), 0, "t.csv")
    assert {split: chosen.tolist() for split, chosen in rows.items()} == {"train": [1, 3], "val": [2, 4], "test": [0]}


def test_rows_split_at_random() -> None:
    columns = {"x": Column.of("x", [str(i) for i in range(20)])}
    rows = split_rows(columns, None, (0.5, 0.2, 0.3), 3, "t.csv")
    membership = random_split(20, (0.5, 0.2, 0.3), 3)
    for position, split in enumerate(SPLITS):
        assert rows[split].tolist() == np.flatnonzero(membership == position).tolist()


@pytest.mark.parametrize(
    ("cells", "split", "words"),
    [
        (("train", "val", "test"), "prt", r"t\.csv has no column 'prt'; did you mean 'part'\? it has part"),
        (
            ("train", "dev", "test"),
            "part",
            r"t\.csv: column 'part' has 'dev' in row 2, but a split is one of train, val, test",
        ),
        (("train", "val", "val"), "part", "has 3 rows, and none for 'test': change the column 'part'"),
        (("train", "val", "test"), None, "has 3 rows, and none for 'val': change the option `fractions`"),
    ],
)
def test_rows_that_make_no_splits(cells: tuple[str, ...], split: str | None, words: str) -> None:
    with pytest.raises(DataError, match=words):
        split_rows({"part": Column.of("part", cells)}, split, (0.7, 0.0, 0.3), 0, "t.csv")


@pytest.mark.parametrize(
    ("cells", "same"),
    [
        ((">50K", "<=50K", ">50K.", "<=50K."), {">50K.": ">50K", "<=50K.": "<=50K"}),
        ((">50K.", "<=50K."), {}),  # the test file by itself
        (("St.", "Str", "a"), {}),
        (("1", "1.0", "01", "2"), {"1.0": "1", "01": "1"}),
        (("1.", "1", "a"), {"1.": "1"}),
        (("0", "-0", "x"), {}),
        (("nan", "1"), {}),
    ],
)
def test_labels_of_one_class(cells: tuple[str, ...], same: dict[str, str]) -> None:
    assert spellings(column(*cells)) == same


def test_rows_that_have_every_target() -> None:
    columns = {"x": Column.of("x", "abcd"), "y": Column.of("y", ("1", "?", "0", "1.")), "z": Column.of("z", "12?4")}
    kinds: dict[str, TargetKind] = {"y": "binary", "z": "regression"}
    with pytest.raises(DataError, match=r"(?s)'y' is missing in 1 rows, first in row 2\n.*'z' .* row 3\n.*: drop"):
        labeled(columns, kinds, ("?",), "refuse", "t.csv")
    assert labeled(columns, kinds, ("?",), "drop", "t.csv").tolist() == [0, 3]
    with pytest.raises(DataError, match=r"t\.csv: no row has every target"):
        labeled(columns, kinds, ("0", "1", "1.", "?"), "drop", "t.csv")
    with pytest.raises(DataError, match=r"has no column 'w'"):
        labeled(columns, {"w": "binary"}, (), "drop", "t.csv")


def test_unknown_labels_are_not_respelled() -> None:
    columns = {"y": Column.of("y", ("1", "?", "1.0", "NA")), "x": Column.of("x", ("1", "1.0", "2", "3"))}
    found = respelled(columns, {"y": "binary"}, ("?", "NA"))
    assert (found["y"].values, found["x"].values) == (("1", "?", "NA"), ("1", "1.0", "2", "3"))
    assert respelled(columns, {"y": "regression"})["y"].values == ("1", "?", "1.0", "NA")
    nan = {"y": Column.of("y", ("NaN", "nan", "a"))}
    assert label_notes(nan, {"y": "classes"}, ("nan", "NaN")) == []


def test_what_is_told_of_labels() -> None:
    columns = {"y": Column.of("y", ("Yes", "no", "yes", "no.")), "z": Column.of("z", ("1", "1.0", "2", "2"))}
    assert label_notes(columns, {"y": "classes", "z": "regression"}) == [
        "target 'y': 'no.' counts as 'no'",
        "target 'y': 'Yes' and 'yes' (first in row 3) are two classes; where they are one, write them alike",
    ]
    assert label_notes(columns, {"z": "classes"}) == ["target 'z': '1.0' counts as '1'"]


def test_classes_that_training_never_sees() -> None:
    parts = {split: Column.of("y", cells) for split, cells in zip(SPLITS, ("ab", "a", "ac"), strict=True)}
    with pytest.raises(DataError, match=r"t\.csv: target 'y' has the class 'c' in test \(row 2\), but not in the"):
        check_learned({"y": parts}, "t.csv")
    check_learned({"y": parts | {"test": Column.of("y", "b")}}, "t.csv")
    both = {"y": parts, "z": parts | {"val": Column.of("z", "aee")}}
    with pytest.raises(DataError) as error:
        check_learned(both, "t.csv")
    assert str(error.value).splitlines() == [
        "t.csv: target 'y' has the class 'c' in test (row 2), but not in the training rows",
        "t.csv: target 'z' has the class 'e' in val (rows 2 and 3), but not in the training rows",
        "t.csv: target 'z' has the class 'c' in test (row 2), but not in the training rows",
        "t.csv: move such rows to train, leave them out of the file, or choose another seed",
    ]


def test_a_header_that_looks_like_a_row() -> None:
    columns = {name: Column.of(name, "a") for name in ("24", "Private")}
    words = r"'24' is a number: where the file has no header, name its 2 columns with the option `names`"
    with pytest.raises(DataError, match=words):
        check_columns(columns, ["income"], "t.csv")
