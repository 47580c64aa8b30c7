"""Columns of text files, one-hot encoding and standardization."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
import torch
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from moframework.data.table import Column, Standardization, check_reach, in_order, one_hot
from moframework.errors import DataError


def test_numbers_and_what_is_none() -> None:
    column = Column.of("size", ["1", "2e3", "?", "1"])
    assert column.is_numeric(missing=("?",))
    assert not column.is_numeric()
    assert not Column.of("size", ["?"]).is_numeric(missing=("?",))
    assert Column.of("size", ["1", "inf"]).is_numeric()
    with pytest.raises(DataError, match="has 'inf' in row 2, which is no finite number"):
        Column.of("size", ["1", "inf"]).numbers()
    with pytest.raises(DataError, match="has '-1e39' in row 1, which is too large for a number of 32 bits"):
        Column.of("size", ["-1e39"]).numbers()
    assert not Column.of("size", ["1_0", "1"]).is_numeric()
    with pytest.raises(DataError, match=re.escape("column 'size' has '?' in row 3, which is no finite number")):
        column.numbers()
    with pytest.raises(DataError, match="has 'nan' in row 2"):
        Column.of("size", ["1", "nan"]).numbers()
    assert np.isnan(Column.of("size", ["1", "nan"]).numbers(missing=("nan",))[1])


def test_rows_and_values() -> None:
    column = Column.of("color", ["red", "blue", "red", "green"])
    part = column.take(np.array([3, 0]))
    assert part.values == ("red", "green")
    assert part.codes.tolist() == [1, 0]
    assert part.positions(["green", "red"]).tolist() == [0, 1]
    assert part.positions(["red"]).tolist() == [-1, 0]
    assert column.mapped({"red": 1.0, "blue": 2.0, "green": 4.0}).tolist() == [1, 2, 1, 4]
    assert (len(column), len(part)) == (4, 2)


@pytest.mark.parametrize(
    ("values", "ordered"),
    [
        (["10", "9", "-1e1"], ("-1e1", "9", "10")),
        (["b", "10", "9"], ("10", "9", "b")),
        (["2", "nan", "10"], ("10", "2", "nan")),
        ([], ()),
    ],
)
def test_order_of_categories(values: list[str], ordered: tuple[str, ...]) -> None:
    assert in_order(values) == ordered


def test_one_hot_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 4, (50, 3)).astype(str)
    learned, asked = cells[:10], cells[10:]
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(learned)
    columns = [Column.of("any", asked[:, i].tolist()) for i in range(3)]
    positions = torch.stack([c.positions(k.tolist()) for c, k in zip(columns, encoder.categories_, strict=True)], dim=1)
    found = one_hot(positions, [len(categories) for categories in encoder.categories_])
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), encoder.transform(asked))


def test_standardization_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    learned, asked = rng.normal(5, [1, 3, 100], (40, 3)), rng.normal(5, 1, (7, 3))
    learned[:, 2] = 0.1  # a column that does not vary
    learned[3, 0] = np.nan
    expected = StandardScaler().fit(learned).transform(asked)
    found = Standardization.of(learned)(asked)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_an_unknown_number_becomes_the_mean() -> None:
    assert Standardization.of(np.array([[1.0], [3.0]]))(np.array([[np.nan], [2.0]])).tolist() == [[0.0], [0.0]]
    assert Standardization.of(np.array([[np.nan]]))(np.array([[np.nan]])).tolist() == [[0.0]]


def test_numbers_of_many_digits_are_none() -> None:
    began = time.perf_counter()
    assert not Column.of("a", ["1" * 130_000, "2"]).is_numeric()
    assert time.perf_counter() - began < 1
    assert Column.of("a", ["1" * 38, "2"]).is_numeric()


def test_numbers_out_of_reach() -> None:
    numbers = np.array([[1.0], [1.0001], [3e38]])
    standard = Standardization.of(numbers[:2])(numbers)
    with pytest.raises(DataError, match="column 'size' has in row 3 a number out of all proportion"):
        check_reach(standard, [Column.of("size", ["1", "1.0001", "3e38"])])
    check_reach(standard[:2], [Column.of("size", ["1", "1.0001"])])
    large = Standardization.of(np.array([[3e38], [-3e38]]))(np.array([[3e38], [0.0]]))
    assert large.tolist() == [[1.0], [0.0]]


@pytest.mark.parametrize(
    ("cells", "strays"),
    [
        (["1", "2", "3", "x"], ("x",)),
        (["1", "", "3", "?"], ()),
        (["a", "b", "1", "a"], ()),
        (["a", "b"], ()),
        (["1", "2"], ()),
        (["1", "1", "1", "x", "y", "z"], ("x", "y", "z")),  # half of the rows
        (["1", "2", *["none"] * 9], ("none",)),  # most of the different cells
        (["1,5", "2,5"], ("1,5", "2,5")),
        (["1'000", "2 000", "3,000.5", "4.000,5"], ("1'000", "2 000", "3,000.5", "4.000,5")),
        (["12%", "$4", "5 €", "\u22121", "１２"], ("12%", "$4", "5 €", "\u22121", "１２")),
        (["05.01.2020", "06.02.2021"], ()),
        (["2020-01-05", "12:30", "1.2.3", "10.0.0.1"], ()),
        (["A1", "B2", "3C"], ()),
        (["inf", "1"], ()),
    ],
)
def test_what_keeps_a_column_from_being_numbers(cells: list[str], strays: tuple[str, ...]) -> None:
    assert Column.of("a", cells).strays(missing=("", "?")) == strays


def test_values_may_be_replaced() -> None:
    column = Column.of("a", ["low", "high.", "high", "low."]).replaced({"low.": "low", "high.": "high"})
    assert (column.values, column.codes.tolist()) == (("low", "high"), [0, 1, 1, 0])


def test_numbers_written_otherwise_are_told() -> None:
    with pytest.raises(DataError, match=r"has '1,5' in row 1, .* write numbers with a point and without other marks"):
        Column.of("a", ["1,5"]).numbers()


def test_looking_for_numbers_takes_no_time() -> None:
    began = time.perf_counter()
    for cell in ("1" * 400, "1,111" * 80 + "x", "1 " * 200, "$" + "1.1" * 100):
        Column.of("a", [cell]).strays()
    assert time.perf_counter() - began < 1
