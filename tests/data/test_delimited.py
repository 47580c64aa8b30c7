"""Reading delimited text: cells, names, comments, delimiters, lines, and files that are no tables."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest

import moframework.data.delimited
from moframework.data.delimited import guessed_delimiter, read_columns
from moframework.data.table import Column
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


def test_all_rows_of_a_wrong_width_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1,2\n1,2,3\n4\n" * 12)
    with pytest.raises(DataError) as error:
        read_columns(path)
    lines = ", ".join(str(3 + 3 * i) for i in range(10))
    ones = ", ".join(str(4 + 3 * i) for i in range(10))
    assert str(error.value).splitlines() == [
        f"{path}, lines {lines} and 2 more: 3 cells where there should be 2, as in line 1",
        f"{path}, lines {ones} and 2 more: 1 cells where there should be 2, as in line 1",
    ]
    monkeypatch.setattr(moframework.data.delimited, "_FURTHER", 4)
    path.write_text("a,b\n" + "1,2\n" * 4 + "1,2,3\n" * 100)
    with pytest.raises(DataError, match="lines 6, 7, 8, 9, 10, 11: 3 cells"):
        read_columns(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=re.escape(f"the table {tmp_path / 'none.csv'} cannot be read: No such file")):
        read_columns(tmp_path / "none.csv")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"a\n1\n" * 100)[:-12])
    with pytest.raises(DataError, match="cannot be unpacked: Compressed file ended"):
        read_columns(tmp_path / "cut.csv.gz")
    (tmp_path / "plain.gz").write_bytes(b"a\n1\n")
    with pytest.raises(DataError, match="cannot be read: Not a gzipped file"):
        read_columns(tmp_path / "plain.gz")


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
    monkeypatch.setattr(moframework.data.delimited, "_CHARACTERS", 100)
    (tmp_path / "a.csv").write_text("a,b\n" + "1," * 50 + "\n")
    with pytest.raises(DataError, match=r"line 2: .* the line has 100 characters or more"):
        read_columns(tmp_path / "a.csv")


def test_a_row_over_too_many_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "long.csv"
    path.write_text("a,b\n" + "1,2\n" * 300 + ",".join(["x", '"' + "\n" * 100 + '"']) + "\n" + "3,4\n" * 300)
    assert len(read_columns(path)["a"]) == 601
    monkeypatch.setattr(moframework.data.delimited, "_TEXT", 40)
    assert len(read_columns(path)["a"]) == 601
    monkeypatch.setattr(moframework.data.delimited, "_ROW", 20)
    with pytest.raises(DataError, match=r"line 302: .*a row has more than 20 characters"):
        read_columns(path)


def test_many_columns_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moframework.data.delimited, "_CELLS", 10)
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


def test_rows_know_their_lines(tmp_path: Path) -> None:
    """Empty lines, comments and cells over several lines among them."""
    text = '\n# made by hand\na,b\n1,"two\n# lines"\n\n# more\n2,x\n3,y\n'
    table = read_columns(write(tmp_path / "t.csv", text), comment="#")
    assert table["a"].values == ("1", "2", "3")
    assert table["b"].values[0] == "two\n# lines", "a comment begins no row, and none is inside a cell"
    assert table["a"].lines.tolist() == [4, 8, 9]  # type: ignore[union-attr]
    part = table["a"].take(np.array([2, 0]))
    assert (part.place(0), part.place(1), part.first("1")) == ("line 9", "line 4", "line 4")
    assert Column.of("a", ["1", "2"]).place(1) == "row 2", "where there is no file"


def test_lines_count_over_many_rows_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moframework.data.delimited, "_ROWS", 7)
    text = "a,b\n" + "".join(f"{i},x\n" + ("\n" if i % 5 == 0 else "") for i in range(40))
    found = read_columns(write(tmp_path / "t.csv", text))["a"]
    expected = [n for n, line in enumerate(text.splitlines(), 1) if line and n > 1]
    assert found.lines.tolist() == expected  # type: ignore[union-attr]
    assert found.values == tuple(str(i) for i in range(40))


def test_lines_at_the_beginning_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "adult.test", "|1x3 Cross validator\n24, >50K.\n25, <=50K.\n\n")
    for options in ({"skip": 1}, {"comment": "|"}):
        table = read_columns(path, ["age", "income"], **options)  # type: ignore[arg-type]
        assert table["income"].values == (">50K.", "<=50K.")
        assert table["age"].place(0) == "line 2"


@pytest.mark.parametrize(
    ("text", "names", "mark"),
    [
        ("a,b\n1,2\n", None, ","),
        ("a;b\n1,5;2\n", None, ";"),
        ("a\tb\n1\t2\n", None, "\t"),
        ("a,b;c\n1,2\n", None, ","),
        ('"a,x";b\n1;2\n', None, ";"),
        ("a\n1\n", None, ","),
        ("", None, ","),
        ("\n# a, b\na;b\n", None, ";"),
        ("1,5;2\n", ("a", "b"), ";"),  # both would do
        ("1,5;2,5;x\n", ("a", "b", "c"), ";"),
        ("1 2\n", ("a", "b"), ","),
    ],
)
def test_delimiters_are_guessed_where_commas_make_no_table(
    tmp_path: Path, text: str, names: tuple[str, ...] | None, mark: str
) -> None:
    assert guessed_delimiter(write(tmp_path / "t.csv", text), names, comment="#") == mark


def test_no_delimiter_is_guessed_for_what_cannot_be_read(tmp_path: Path) -> None:
    assert guessed_delimiter(tmp_path / "none.csv") == ","
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe;")
    assert guessed_delimiter(tmp_path / "a.csv") == ","
