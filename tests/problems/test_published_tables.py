"""Faults of tables and images as people publish them: each is refused in words, or read as it is meant.

A table of faults: cells, rows, headers, labels and images. None may go silently wrong: what is not refused states the
width of its inputs, whether it is the same as the table without the fault, and what is told of it.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attrs import field, frozen
from moframework.problems.csv import CSV
from PIL import Image

from moframework.data import SPLITS
from moframework.data.images import read_image
from moframework.errors import DataError
from moframework.problem import get_problem

# Twelve rows: x and c are inputs, y is 0 or 1, z a number; six of them to train, three each to validate and test.
ROWS = [
    [str(i + 1), "abc"[i % 3], str(i % 2), str(10 * i + 5), ("train", "train", "val", "test")[i % 4]] for i in range(12)
]
HEADER = ["x", "c", "y", "z", "part"]


def text(*changes: tuple[int, str, str], header: list[str] | None = HEADER, mark: str = ",") -> str:
    """The table with other cells: (row, counted from 0; column; what is there)."""
    rows = [list(row) for row in ROWS]
    for row, name, cell in changes:
        rows[row][HEADER.index(name)] = cell
    return "".join(mark.join(row) + "\n" for row in ([] if header is None else [header]) + rows)


def column(name: str, cells: Callable[[int], str]) -> str:
    return text(*((i, name, cells(i)) for i in range(12)))


@frozen
class Fault:
    """A table that is not as it should be, and the words that it is refused with; no words where it is read."""

    name: str
    table: str | bytes
    words: tuple[str, ...] = ()
    options: dict[str, Any] = field(factory=dict)
    width: int | None = None
    """Of inputs, where the table is read: x, and a, b and c of c make 4."""
    same: bool = False
    """Whether inputs and targets are those of the table without the fault."""
    notes: tuple[str, ...] = ()
    """What must be in the notes."""


UNKNOWN = ("", "?", "NA", "N/A", "nan", "NaN", "null")
STRAY = "column 'x' seems to be numbers, but 1 of its 12 known cells are none"

CELLS = (
    Fault("a word among numbers", text((4, "x", "many")), (STRAY, "'many' in line 6", "`missing`", "`categorical`")),
    Fault("an unknown spelling of unknown", text((0, "x", "n/a")), (STRAY, "'n/a' in line 2")),
    Fault("a dash for unknown", text((0, "x", "-")), (STRAY, "'-' in line 2")),
    Fault("that spelling listed", text((0, "x", "n/a")), options={"missing": (*UNKNOWN, "n/a")}, width=5),
    Fault("a unit", text((11, "x", "3 kg")), (STRAY, "'3 kg' in line 13")),
    Fault("a range", text((11, "x", "3-5")), (STRAY, "'3-5' in line 13")),
    Fault("a bound", text((11, "x", "60+")), (STRAY, "'60+' in line 13")),
    Fault("a decimal comma", text((2, "x", '"1,5"')), (STRAY, "'1,5' in line 4", "numbers have a point")),
    Fault("decimal commas throughout", column("x", lambda i: f'"{i},5"'), ("12 of its 12", "'0,5' in line 2", "more")),
    Fault("marks between thousands", text((2, "x", "1'000")), (STRAY, "1'000")),
    Fault("commas between thousands", text((2, "x", '"1,000"')), (STRAY, "'1,000' in line 4")),
    Fault("percent signs", column("x", lambda i: f"{i}%"), ("12 of its 12", "'0%' in line 2")),
    Fault("currencies", column("x", lambda i: f"${i}.50"), ("12 of its 12", "'$0.50' in line 2")),
    Fault("underscores", text((3, "x", "1_000")), (STRAY, "'1_000' in line 5")),
    Fault("digits of another script", text((3, "x", "１２")), (STRAY, "'１２' in line 5")),
    Fault("hexadecimal digits", text((3, "x", "0x10")), (STRAY, "'0x10' in line 5")),
    Fault("a typographic minus", text((3, "x", "\u22125")), (STRAY, "in line 5")),
    Fault("a spreadsheet's error", text((3, "x", "#DIV/0!")), (STRAY, "'#DIV/0!' in line 5")),
    Fault("true among numbers", text((3, "x", "TRUE")), (STRAY, "'TRUE' in line 5")),
    Fault("the header once more", text((6, "x", "x"), (6, "c", "c")), (STRAY, "'x' in line 8")),
    Fault("half of the cells are words", column("x", lambda i: f"w{i}" if i % 2 else str(i)), ("6 of its 12",)),
    Fault("infinity", text((3, "x", "inf")), ("column 'x' has 'inf' in line 5, which is no finite number",)),
    Fault("an overflow", text((3, "x", "1e400")), ("column 'x' has '1e400' in line 5",)),
    Fault("too large for 32 bits", text((3, "x", "1e39")), ("'1e39' in line 5, which is too large",)),
    Fault("out of proportion", text((3, "x", "3e38"), *((i, "x", f"1.00{i}") for i in (0, 1, 4, 5, 8, 9))),
          ("column 'x' has in line 5 a number out of all proportion",)),
    Fault("not a number", text((3, "x", "nan")), width=4),
    Fault("unknown in training", text((0, "x", "NA")), width=5),
    Fault("blanks around", text((3, "x", "  4 ")), width=4, same=True),
    Fault("quotes around", text((3, "x", '"4"')), width=4, same=True),
    Fault("a no-break space", text((3, "x", "4\u00a0")), width=4, same=True),
    Fault("dates", column("c", lambda i: f"2020-01-{i + 1:02}"), width=7, notes=("categories c (6)",)),
    Fault("too many categories", column("c", lambda i: f"2020-01-{i + 1:02}"), ("has 6 different values", "`ignore`"),
          {"max_categories": 5}),
    Fault("numbers as categories", text(), options={"categorical": ("x",)}, width=9,
          notes=("categories x (6), c (3)",)),
)  # fmt: skip

LINES = (
    Fault("a cell too many", text((2, "c", "a,b")), ("line 4: 6 cells where there should be 5, as in line 1",)),
    Fault("a cell too few", text().replace("\n3,c,", "\n3,"), ("line 4: 4 cells where there should be 5",)),
    Fault("an open quote", text((2, "c", '"c')), ("line 4: a quote is not closed",)),
    Fault("a comment", "# made by hand\n" + text(), ("cells where there should be 1", "`skip`", "`comment`")),
    Fault("a comment that is told", "# made by hand\n" + text(), options={"comment": "#"}, width=4, same=True),
    Fault("a comment between rows", text() + "# the end\n", ("line 14: 1 cells", "with `comment: '#'`")),
    Fault("a fault behind comments", "# 1\n\n" + text((4, "x", "many")), ("'many' in line 8",), {"comment": "#"}),
    Fault("a fault behind a cell of two lines", text((1, "c", '"a\nb"'), (4, "x", "many")), ("'many' in line 7",)),
    Fault("empty lines", "\n" + text().replace("\n", "\n\n"), width=4, same=True),
    Fault("lines of another system", text().replace("\n", "\r\n"), width=4, same=True),
    Fault("lines of an old system", text().replace("\n", "\r"), width=4, same=True),
    Fault(
        "a line with the sum",
        text() + "66,,,660,\n",
        ("target 'y' is missing in 1 rows, first in line 14",),
        {"missing_targets": "refuse"},
    ),
    Fault(
        "another encoding", text((3, "c", "é")).encode("latin-1"), ("line 5: not a table in delimited text (UTF-8)",)
    ),
    Fault("two bytes a character", text().encode("utf-16"), ("line 1: not a table in delimited text (UTF-8)",)),
    Fault("a byte order mark", text().encode("utf-8-sig"), width=4, same=True),
    Fault("packed under a plain name", gzip.compress(text().encode()), ("not a table in delimited text",)),
    Fault("nothing", "", ("is empty; it needs a line with the names",)),
    Fault("a header only", ",".join(HEADER) + "\n", ("has no rows",)),
)

HEADERS = (
    Fault("none, and a target is asked for", text(header=None), ("no column 'y'", "'1' is a number", "`names`"),
          {"split": None}),
    Fault("none, and twins in the first row", text((0, "z", "0"), header=None), ("line 1: no names of columns",
          "'0' comes twice", "5 columns of a file without a header", "`names`")),
    Fault("none, and names are given", text(header=None), options={"names": HEADER}, width=4, same=True),
    Fault("one, and names are given too", text(), ("line 1: the names of the columns, which `names`", "`skip: 1`"),
          {"names": HEADER}),
    Fault("one, in other capitals", text(header=["X", "C", "Y", "Z", "Part"]), ("line 1: the names of the columns",),
          {"names": HEADER}),
    Fault("too few names", text(header=None), ("10 and 2 more: 5 cells where there should be 4, as in `names`",),
          {"names": HEADER[:4]}),
    Fault("twins", text(header=["x", "x", "y", "z", "part"]), ("line 1: the table has two columns called 'x' (1 and 2)",
          "`names`", "`skip: 1`")),
    Fault("twins that are named anew", text(header=["x", "x", "y", "z", "part"]),
          options={"names": HEADER, "skip": 1}, width=4, same=True),
    Fault("a line that is no data", "|1x3 Cross validator\n" + text(header=None), options={"names": HEADER, "skip": 1},
          width=4, same=True),
    Fault("numbers of rows", text(header=["", "c", "y", "z", "part"]), ("column 1 has no name", "`ignore: ['']`")),
    Fault("numbers of rows that are ignored", text(header=["", "c", "y", "z", "part"]), options={"ignore": ("", "z")},
          width=3),
    Fault("two columns without names", text(header=["", "", "y", "z", "part"]),
          ("line 1: the table has two columns without a name (1 and 2)",)),
    Fault("capitals", text(header=["x", "c", "Y", "z", "part"]),
          ("no column 'y', which `targets` names; it has x, c, Y, z, part",)),
    Fault("semicolons", text(mark=";"), width=4, same=True, notes=("separated by semicolons",)),
    Fault("tabs", text(mark="\t"), width=4, same=True, notes=("separated by tabs",)),
    Fault("bars", text(mark="|"), ("no column 'y', which `targets` names; it has x|c|y|z|part",)),
    Fault("bars that are told", text(mark="|"), options={"delimiter": "|"}, width=4, same=True),
    Fault("semicolons and decimal commas", text((0, "x", "1,5"), mark=";"), (STRAY, "'1,5' in line 2")),
    Fault("the wrong delimiter", text(),
          ("no column 'y', which `targets` names; it has x,c,y,z,part",), {"delimiter": ";"}),
)  # fmt: skip

LABELS = (
    Fault("a full stop", text((5, "y", "1.")), width=4, same=True, notes=("target 'y': '1.' counts as '1'",)),
    Fault("as pandas writes them beside unknown ones", text((4, "y", "0.0")), width=4, same=True,
          notes=("target 'y': '0.0' counts as '0'",)),
    Fault("an unknown one", text((5, "y", "?")), ("target 'y' is missing in 1 rows, first in line 7", "drop"),
          {"missing_targets": "refuse"}),
    Fault("an unknown one that is left out", text((5, "y", "?")), options={"missing_targets": "drop"}, width=4),
    Fault("an unknown one that is not listed", text((5, "y", "unknown")), ("'y' is to be binary, but has 3 values",)),
    Fault("capitals", column("y", lambda i: ("no", "Yes", "yes", "No")[i // 2 % 4]), width=4,
          options={"targets": {"y": "classes"}, "split": None, "fractions": (0.8, 0.1, 0.1), "ignore": ("z", "part")},
          notes=("'Yes' and 'yes' (first in line 6) are two classes",)),
    Fault("one class", column("y", lambda i: "1"), ("'y' is to be binary, but has 1 values",)),
    Fault("a class that training never sees", text((3, "y", "2")), ("has the class '2' in test (line 5)",),
          {"targets": {"y": "classes"}}),
    Fault("a word among numbers to tell", text((3, "z", "cheap")), ("column 'z' has 'cheap' in line 5, which is no",),
          {"targets": {"z": "regression"}}),
    Fault("a decimal comma to tell", text((3, "z", '"1,5"')), ("'1,5' in line 5", "with a point"),
          {"targets": {"z": "regression"}}),
    Fault("another word for a split", text((3, "part", "dev")), ("column 'part' has 'dev' in line 5, but a split is",)),
    Fault("a split of blanks", text((3, "part", "")), ("column 'part' has '' in line 5",)),
    Fault("splits in capitals", text((3, "part", "TEST")), width=4, same=True),
)  # fmt: skip

ALL = {f"{kind}: {fault.name}": fault for kind, faults in (
    ("cell", CELLS), ("row", LINES), ("header", HEADERS), ("label", LABELS)) for fault in faults}  # fmt: skip


def problem(folder: Path, fault: Fault) -> CSV:
    path = folder / "table.csv"
    path.write_bytes(fault.table if isinstance(fault.table, bytes) else fault.table.encode())
    options: dict[str, Any] = {"targets": {"y": "binary"}, "split": "part", "ignore": ("z",), **fault.options}
    if "z" in options["targets"]:
        options["ignore"] = ("y",)
    return CSV(path=path, **options)


def test_the_table_is_right_without_a_fault(tmp_path: Path) -> None:
    made = problem(tmp_path, Fault("none", text()))
    assert made.input_shape == (4,)
    assert made.notes == ("table.csv: numbers x; categories c (3)",)
    assert made.data("train").where(2) == f"{tmp_path / 'table.csv'}, line 6"


@pytest.mark.parametrize("name", ALL)
def test_faults_of_tables(tmp_path: Path, name: str) -> None:
    fault = ALL[name]
    made = problem(tmp_path, fault)
    if fault.words:
        with pytest.raises(DataError) as error:
            made.data("train")
        for words in (str(made.path), *fault.words):
            assert words in str(error.value)
        return
    assert made.input_shape == (fault.width,)
    for note in fault.notes:
        assert note in "\n".join(made.notes)
    found = {split: made.data(split) for split in SPLITS}
    assert all(bool(torch.isfinite(data.inputs).all()) for data in found.values())
    if fault.same:
        right = problem(tmp_path, Fault("none", text()))
        for split, data in found.items():
            assert torch.equal(data.inputs, right.data(split).inputs)
            assert torch.equal(data.targets["y"], right.data(split).targets["y"])


def sixteen(path: Path) -> None:
    Image.fromarray(np.full((4, 4), 30000, dtype=np.uint16)).save(path)


def floats(path: Path) -> None:
    Image.fromarray(np.full((4, 4), 0.5, dtype=np.float32)).save(path, format="TIFF")


def transparent(path: Path) -> None:
    Image.fromarray(np.zeros((4, 4, 4), dtype=np.uint8)).save(path)


def animated(path: Path) -> None:
    frames = [Image.fromarray(np.full((4, 4, 3), shade, dtype=np.uint8)) for shade in (0, 255)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


IMAGES: dict[str, tuple[Callable[[Path], Any], dict[str, Any], str | int]] = {
    "16 bits": (sixteen, {}, round(30000 / 257)),
    "floats": (floats, {}, "1.png has pixels of floats or 32-bit integers"),
    "transparent": (transparent, {}, 255),
    "several frames": (animated, {}, "1.png has 2 frames"),
    "no image": (lambda path: path.write_text("<html>"), {}, "1.png cannot be read as an image"),
    "empty": (lambda path: path.write_bytes(b""), {}, "1.png cannot be read as an image"),
    "missing": (lambda path: path.unlink(), {}, "labels.csv, line 3, names it"),
    "a folder in its place": (lambda path: (path.unlink(), path.mkdir()), {}, "1.png cannot be read as an image"),
    "names without a suffix": (lambda path: None, {"file": "id"}, "set the option `suffix: .png`"),
    "names with a suffix to add": (lambda path: None, {"file": "id", "suffix": ".png"}, 60),
    "an unknown label": (
        lambda path: None,
        {"targets": {"gap": "binary"}, "missing_targets": "refuse"},
        "target 'gap' is missing in 1 rows, first",
    ),
    "a label left out": (lambda path: None, {"targets": {"gap": "binary"}, "missing_targets": "drop"}, 60),
}


@pytest.mark.parametrize("name", IMAGES)
def test_faults_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Image 1 of 8 is another, and it is refused by name or has these pixels."""
    monkeypatch.setenv("MOFRAMEWORK_CACHE", str(tmp_path / "cache"))
    make, options, expected = IMAGES[name]
    (tmp_path / "p").mkdir()
    for i in range(8):
        Image.fromarray(np.full((4, 4, 3), 60, dtype=np.uint8)).save(tmp_path / "p" / f"{i}.png")
    rows = "".join(
        f"{i}.png,{i},{i % 2},{'' if i == 7 else i % 2},{('train', 'train', 'train', 'val', 'test')[i % 5]}\n"
        for i in range(8)
    )
    (tmp_path / "labels.csv").write_text("file,id,y,gap,part\n" + rows)
    make(tmp_path / "p" / "1.png")
    given = {"folder": str(tmp_path / "p"), "table": str(tmp_path / "labels.csv"), "targets": {"y": "binary"},
             "split": "part", "size": [4, 4], **options}  # fmt: skip
    made = get_problem("images", **given)
    if isinstance(expected, str):
        with pytest.raises(DataError) as error:
            made.data("train")
        assert expected in str(error.value)
    else:
        assert made.data("train")[1][0].unique().tolist() == [expected]
        assert read_image(tmp_path / "p" / "1.png", (4, 4)).unique().tolist() == [expected]


def test_there_are_many() -> None:
    assert len(ALL) + len(IMAGES) >= 60
