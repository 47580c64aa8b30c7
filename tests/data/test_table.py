"""Columns of text files, one-hot encoding and standardization."""

from __future__ import annotations

import gzip
import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import moframework.data.table
from moframework.data.table import Column, Standardization, check_reach, in_order, one_hot, read_columns
from moframework.errors import DataError
from moframework.io import unpacking

TEXT = 'city, size ,"price, net"\nBern,3.5,10\n"St. Gallen, SG", 4 ,20\n\nBern ,,30\n'


def write(path: Path, text: str = TEXT) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_reading(tmp_path: Path, name: str) -> None:
    table = read_columns(write(tmp_path / name))
    assert list(table) == ["city", "size", "price, net"]
    assert table["city"].values == ("Bern", "St. Gallen, SG")
    assert table["city"].codes.tolist() == [0, 1, 0]
    assert table["price, net"].numbers().tolist() == [10, 20, 30]
    assert table["size"].numbers(missing=("",))[:2].tolist() == [3.5, 4]
    assert np.isnan(table["size"].numbers(missing=("",))[2])


def test_names_may_be_given_and_cells_separated_otherwise(tmp_path: Path) -> None:
    table = read_columns(write(tmp_path / "table", "1;a\n2;b\n"), ["number", "letter"], delimiter=";")
    assert table["number"].numbers().tolist() == [1, 2]
    assert table["letter"].values == ("a", "b")


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "excel.csv").write_text("a,b\n1,2\n", encoding="utf-8-sig")
    assert list(read_columns(tmp_path / "excel.csv")) == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty; it needs a line with the names"),
        (b"a,b\n", "has no rows"),
        (b"a,b,a\n1,2,3\n", "two columns called 'a'"),
        (b"a,b\n1,2\n\n1,2,3\n", "line 4: 3 cells where there should be 2"),
        (b"a,b\n1\n", "line 2: 1 cells where there should be 2"),
        (b'a,b\n"1\n1",2\n3\n', "line 4: 1 cells where there should be 2"),
        (b"a,b\n\xff\xfe,2\n", r"not a table in delimited text \(UTF-8\)"),
    ],
)
def test_what_is_no_table(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_columns(tmp_path / "table.csv")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=re.escape(f"the table {tmp_path / 'none.csv'} cannot be read: No such file")):
        read_columns(tmp_path / "none.csv")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"a\n1\n" * 100)[:-12])
    with pytest.raises(DataError, match="cannot be unpacked: Compressed file ended"):
        read_columns(tmp_path / "cut.csv.gz")
    (tmp_path / "plain.gz").write_bytes(b"a\n1\n")
    with pytest.raises(DataError, match="cannot be read: Not a gzipped file"):
        read_columns(tmp_path / "plain.gz")


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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'a,b\n1,"2\n3,4\n', "line 2: a quote is not closed"),
        (b'a,b\n1,2\n"', "line 3: a quote is not closed"),
        (b'a,"b', "line 1: a quote is not closed"),
        (b"a\n1\n" + b"x" * 140_000 + b"\n", "line 3: this is no row of delimited text: field larger than field limit"),
        (b",".join(b"%d" % i for i in range(100_001)), "line 1: 100,001 columns, and 100,000 are the most"),
        (b"a,b\n1,2\n1,\xff\n", "line 3: not a table in delimited text (UTF-8): invalid start byte"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_damaged_is_told_with_its_line(tmp_path: Path, content: bytes, words: str, packed: bool) -> None:
    path = tmp_path / ("a.csv.gz" if packed else "a.csv")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError, match=re.escape(f"{path}, {words}")):
        read_columns(path)


def test_lines_have_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moframework.data.table, "_CHARACTERS", 100)
    (tmp_path / "a.csv").write_text("a,b\n" + "1," * 50 + "\n")
    with pytest.raises(DataError, match=r"line 2: .* the line has 100 characters or more"):
        read_columns(tmp_path / "a.csv")


def test_a_row_over_too_many_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "long.csv"
    path.write_text("a,b\n" + "1,2\n" * 300 + ",".join(["x", '"' + "\n" * 100 + '"']) + "\n" + "3,4\n" * 300)
    assert len(read_columns(path)["a"]) == 601
    monkeypatch.setattr(moframework.data.table, "_TEXT", 40)
    assert len(read_columns(path)["a"]) == 601
    monkeypatch.setattr(moframework.data.table, "_ROW", 20)
    with pytest.raises(DataError, match=r"line 302: .*a row has more than 20 characters"):
        read_columns(path)


def test_many_columns_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moframework.data.table, "_CELLS", 10)
    (tmp_path / "a.csv").write_text("a,b,c\n" + "".join(f"{i},{i % 2},x\n" for i in range(11)))
    found = read_columns(tmp_path / "a.csv")
    assert found["a"].numbers().tolist() == list(range(11))
    assert found["b"].codes.tolist() == [i % 2 for i in range(11)]


def test_a_packed_table_that_is_far_more_than_tables_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a\n" + b"1\n" * 10_000))
    assert len(read_columns(tmp_path / "a.csv.gz")["a"]) == 10_000
    monkeypatch.setattr(unpacking, "_FREE", 1000)
    monkeypatch.setattr(unpacking, "_RATIO", 10)
    with pytest.raises(DataError, match=r"a\.csv\.gz cannot be read: it unpacks to more than 1,000 bytes"):
        read_columns(tmp_path / "a.csv.gz")


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
