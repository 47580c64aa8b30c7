"""`csv`: a problem wholly declared in a spec, on a table of twelve houses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from moframework.problems.csv import CSV

from moframework import check, load_spec, solve
from moframework.config import OptionError
from moframework.data import SPLITS
from moframework.errors import DataError, SpecError
from moframework.losses import MSE, BinaryCrossEntropy, CrossEntropy, Huber
from moframework.problem import get_problem

HOUSES = Path(__file__).with_name("houses.csv")
TARGETS: dict[str, Any] = {"price": "regression", "sold": "binary", "kind": "classes"}


def houses(**options: Any) -> CSV:
    made = CSV(**{"path": HOUSES, "targets": TARGETS, "ignore": ("id",), "fractions": (0.5, 0.25, 0.25), **options})
    assert isinstance(made, CSV)
    return made


def table(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


SPLIT = """\
x,c,when,y
1,a,train,0
3,b,train,1
?,a,train,0
5,c,val,1
7,,test,0
9,b,test,1
"""


@pytest.fixture
def small(tmp_path: Path) -> CSV:
    return CSV(path=table(tmp_path / "small.csv", SPLIT), targets={"y": "binary"}, split="when")


def test_tasks_are_derived_from_the_kinds() -> None:
    price, sold, kind = houses().tasks
    assert (price.name, price.loss, price.size) == ("price", MSE(), 1)
    assert (sold.name, sold.loss, sold.size) == ("sold", BinaryCrossEntropy(), 1)
    assert (kind.name, kind.loss, kind.size) == ("kind", CrossEntropy(), 3)
    assert [metric.label for task in (price, sold, kind) for metric in task.metrics] == [
        "mae", "accuracy", "f1", "accuracy",
    ]  # fmt: skip
    houses().check()


def test_inputs_by_hand(small: CSV) -> None:
    """x standardized by 1 and 3, which have mean 2 and deviation 1; then whether x is missing; then c is a, c is b."""
    expected = {
        "train": [[-1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0]],
        "val": [[3, 0, 0, 0]],  # training never saw c
        "test": [[5, 0, 0, 0], [7, 0, 0, 1]],  # the first lacks a category
    }
    for split in SPLITS:
        data = small.data(split)
        assert data.inputs.tolist() == expected[split]
        assert data.inputs.dtype == torch.float32
    assert small.input_shape == (4,)
    assert small.data("test").targets["y"].tolist() == [0, 1]
    small.check()


def test_targets_by_hand() -> None:
    problem = houses(seed=1)
    rows = [line.split(",") for line in HOUSES.read_text().splitlines()[1:]]
    order = np.random.RandomState(1).permutation(12)
    for split, part in zip(SPLITS, (order[:6], order[6:9], order[9:]), strict=True):
        chosen = [rows[i] for i in sorted(part)]
        learned = np.array([float(rows[i][5]) for i in order[:6]])
        data = problem.data(split)
        assert data.targets["sold"].tolist() == [int(row[6] == "yes") for row in chosen]
        assert data.targets["kind"].tolist() == [["flat", "house", "loft"].index(row[7]) for row in chosen]
        prices = (np.array([float(row[5]) for row in chosen]) - learned.mean()) / learned.std()
        np.testing.assert_allclose(data.targets["price"].numpy(), prices, rtol=1e-5)
        raw = houses(seed=1, standardize_targets=False).data(split).targets["price"]
        assert raw.tolist() == [float(row[5]) for row in chosen]


def test_columns_may_be_told_what_they_are() -> None:
    plain, told = houses(), houses(categorical=("rooms",))
    assert told.input_shape[0] > plain.input_shape[0]
    assert houses(ignore=("id", "city")).input_shape[0] == plain.input_shape[0] - 3
    with pytest.raises(DataError, match=r"column 'heating' has 'gas' in lines 2, 4, 7 and 2 more, which is no finite"):
        houses(numeric=("heating",)).data("train")


def test_the_split_is_that_of_the_seed() -> None:
    one, same, other = houses(), houses(), houses(seed=4)
    assert torch.equal(one.data("val").inputs, same.data("val").inputs)
    assert one.data("val").targets["price"].tolist() != other.data("val").targets["price"].tolist()
    assert [len(one.data(split)) for split in SPLITS] == [6, 3, 3]


def test_a_changed_file_is_read_again(small: CSV) -> None:
    assert len(small.data("val")) == 1
    table(small.path, SPLIT + "5,a,val,0\n")
    assert len(small.data("val")) == 2


def test_names_with_dots_become_names_of_tasks(tmp_path: Path) -> None:
    path = table(tmp_path / "dots.csv", "x,v1.0/a\n" + "".join(f"{i},{i % 2}\n" for i in range(20)))
    problem = CSV(path=path, targets={"v1.0/a": "binary"})
    assert [task.name for task in problem.tasks] == ["v1_0_a"]
    assert set(problem.data("train").targets) == {"v1_0_a"}


def partial(path: Path, rows: int = 200) -> Path:
    """Each row has one of two targets, never both."""
    lines = ["a,b,price,sold"]
    for i in range(rows):
        a, b = (i * 37 % 101) / 101, (i * 53 % 103) / 103
        lines.append(f"{a:.4f},{b:.4f},{f'{a + b:.4f}' if i % 2 == 0 else ''},{int(a > b) if i % 2 else ''}")
    return table(path, "\n".join(lines) + "\n")


def test_each_task_has_the_rows_that_have_its_target(tmp_path: Path) -> None:
    made = CSV(path=partial(tmp_path / "t.csv"), targets={"price": "regression", "sold": "binary"})
    sums = []
    for split, count in zip(SPLITS, (140, 20, 40), strict=True):
        price, sold = made.data(split).targets["price"], made.data(split).targets["sold"]
        assert len(price) == len(sold) == count
        assert torch.equal(price.isnan(), sold >= 0), "one of both"
        assert set(sold.tolist()) == {-100, 0, 1}
        sums.append(price[~price.isnan()])
    assert sums[0].mean().abs() < 1e-6, "standardized by the rows that have one"
    torch.testing.assert_close(sums[0].std(correction=0), torch.tensor(1.0))
    with pytest.raises(DataError, match="no row has every target; missing_targets: keep trains each task on"):
        CSV(path=made.path, targets=made.targets, missing_targets="drop").data("train")


def test_each_task_is_trained_on_the_rows_that_have_its_target(tmp_path: Path) -> None:
    targets = {"price": "regression", "sold": "binary"}
    spec: dict[str, Any] = {
        "problem": {"name": "csv", "path": str(partial(tmp_path / "t.csv")), "targets": targets},
        "solver": {"name": "palora", "balancing": ["loss"]},
        "training": {"epochs": 20, "batch_size": 16, "optimizer": {"name": "adam", "lr": 0.01}},
        "evaluate": {"points": 3},
    }
    front = solve(load_spec(spec), tmp_path / "run", device="cpu").front("test")
    assert front.metrics["price/mae"].max() < 0.3, "of a column with deviation 1"
    assert front.metrics["sold/accuracy"].min() > 0.85


def test_a_row_without_any_target_is_left_out(tmp_path: Path) -> None:
    path = table(tmp_path / "gaps.csv", SPLIT.replace("9,b,test,1", "9,b,test,?\n9,b,test,1"))
    data = CSV(path=path, targets={"y": "binary"}, split="when").data("test")
    assert data.targets["y"].tolist() == [0, 1]
    other = table(tmp_path / "two.csv", path.read_text().replace("5,c,val", "5,a,val"))
    both = CSV(path=other, targets={"y": "binary", "c": "classes"}, split="when").data("test")
    assert both.targets["y"].tolist() == [0, -100, 1]
    assert both.targets["c"].tolist() == [-100, 1, 1]


def test_rows_without_a_target(tmp_path: Path) -> None:
    path = table(tmp_path / "gaps.csv", SPLIT.replace("9,b,test,1", "9,b,test,?\n9,b,test,1"))
    with pytest.raises(DataError, match=r"target 'y' is missing in 1 rows, first in line 7: .* missing_targets: drop"):
        CSV(path=path, targets={"y": "binary"}, split="when", missing_targets="refuse").data("train")
    dropped = CSV(path=path, targets={"y": "binary"}, split="when", missing_targets="drop")
    assert dropped.data("test").targets["y"].tolist() == [0, 1]
    number = CSV(path=path, targets={"y": "regression"}, split="when", missing_targets="drop")
    assert len(number.data("test")) == 2, "a cell of a row that is left out need be no number"


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (SPLIT, {"targets": {"z": "binary"}}, "has no column 'z', which `targets` names; it has x, c, when, y"),
        (SPLIT, {"ignore": ("id",)}, "has no column 'id', which `ignore` names; it has x, c, when, y"),
        (SPLIT, {"numeric": ("id",)}, "has no column 'id', which `numeric` names"),
        (SPLIT, {"categorical": ("id",)}, "has no column 'id', which `categorical` names"),
        (SPLIT, {"split": "id"}, "has no column 'id', which `split` names"),
        (SPLIT, {"targets": {"y": "binary"}, "ignore": ("wen",)}, "did you mean 'when'?"),
        (SPLIT, {"ignore": ("x", "c")}, "no column left for an input"),
        (SPLIT, {"split": "c"}, "table.csv: column 'c' has 'a' in lines 2 and 4, but a split is one of train, val, t"),
        (SPLIT.replace("val", "train"), {}, "has 6 rows, and none for 'val': change the column 'when'"),
        ("x,y\n1,0\n2,1\n", {"split": None}, "change the option `fractions`"),
        (SPLIT, {"targets": {"x": "binary", "y": "binary"}, "missing": ()}, "'x' is to be binary, but has 6 values"),
        (
            SPLIT.replace("5,c,val,1", "5,c,val,2"),
            {"targets": {"y": "classes"}},
            "has the class '2' in val (line 5), but not in",
        ),
        (
            SPLIT.replace("b,train,1", "b,train,0"),
            {"targets": {"y": "classes"}},
            "has the class '1' in val (line 5), but not in",
        ),
        (SPLIT.replace(",1\n", ",0\n"), {"targets": {"y": "classes"}}, "'y' has one value only, 0"),
        (SPLIT, {"targets": {"c": "regression"}, "missing_targets": "drop"}, "column 'c' has 'a' in lines 2 and 4"),
        (SPLIT, {"max_categories": 1}, "column 'c' has 2 different values in 3 training rows, such as 'a' and 'b'"),
        (SPLIT + "1,2,3\n", {}, "line 8: 3 cells where there should be 4"),
    ],
)
def test_tables_that_do_not_fit(tmp_path: Path, text: str, options: dict[str, Any], words: str) -> None:
    given = {"targets": {"y": "binary"}, "split": "when", **options}
    problem = CSV(path=table(tmp_path / "table.csv", text), **given)
    with pytest.raises(DataError, match=re.escape(words)):
        problem.data("train")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv cannot be read: No such file or directory\. Set problem\.path"):
        CSV(path=tmp_path / "none.csv", targets={"y": "binary"}).data("train")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"targets": {}}, "targets: must name at least one column"),
        ({"targets": {"y": "binry"}}, "did you mean 'binary'?"),
        ({"numeric": ["y"]}, "column 'y' is in targets and in numeric"),
        ({"split": "y"}, "column 'y' is in targets and in split"),
        ({"fractions": [0.5, 0.5, 0.5]}, "add up to 1"),
        ({"delimiter": "tab"}, "must be one character, neither a quote nor the end of a line, but it is 'tab'"),
        ({"targets": {"a.b": "binary", "a_b": "binary"}}, "two tasks of one name"),
    ],
)
def test_wrong_options(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=re.escape(words)):
        get_problem("csv", **{"path": str(HOUSES), "targets": {"y": "binary"}, **options})


def test_declared_in_a_spec(tmp_path: Path) -> None:
    """The path is relative to the spec; parts are exchanged as in any problem."""
    (tmp_path / "houses.csv").write_bytes(HOUSES.read_bytes())
    (tmp_path / "houses.yaml").write_text(
        "problem:\n  name: csv\n  path: houses.csv\n  targets: {price: regression, sold: binary}\n"
        "  ignore: [id, kind]\n  tasks: {price: {loss: huber}}\n  backbone: {name: mlp, hidden: [8]}\n"
        "solver: palora\n"
    )
    problem = load_spec(tmp_path / "houses.yaml").problem
    assert [task.loss for task in problem.tasks] == [Huber(), BinaryCrossEntropy()]
    assert len(problem.data("train")) == 8  # type: ignore[arg-type]
    problem.check()


def test_errors_name_file_and_line_of_the_file(tmp_path: Path) -> None:
    def told(text: str, **options: Any) -> str:
        problem = CSV(
            path=table(tmp_path / "t.csv", text), targets={"y": "regression"}, split="when", **options
        )  # fmt: skip
        with pytest.raises(DataError) as error:
            problem.data("train")
        return str(error.value)

    head, rows = "x,when,y\n", "1,train,1\n2,train,2\n3,val,3\n4,test,4\n"
    file = str(tmp_path / "t.csv")
    assert told(head + rows + "a,test,5\n", numeric=("x",)) == (
        f"{file}: column 'x' has 'a' in line 6, which is no finite number"
    )
    assert "column 'y' has 'many' in line 6" in told(head + rows + "5,train,many\n")
    assert "column 'y' has 'many' in line 7" in told(head + rows + "5,train,\n6,train,many\n", missing_targets="drop")
    assert "column 'x' has 'inf' in line 6" in told(head + rows + "inf,train,1\n")
    assert "column 'x' has '1e39' in line 6, which is too large" in told(head + rows + "1e39,test,1\n")
    assert "column 'x' has in line 7 a number out of all proportion" in told(
        head + rows.replace("2,train", "1.0001,train") + "3,train,\n3e38,test,1\n", missing_targets="drop"
    )
    assert "column 'y' has in line 6 a number out of all proportion" in told(
        head + rows.replace("train,2", "train,1.0001") + "3,test,3e38\n"
    )


@pytest.mark.parametrize("delimiter", ['"', "\n", "\r", "\0", "", ",,"])
def test_what_can_separate_no_cells(delimiter: str) -> None:
    with pytest.raises(OptionError, match="delimiter must be one character, neither a quote nor the end of a line"):
        houses(delimiter=delimiter)


def test_a_table_that_is_in_memory_may_be_removed(tmp_path: Path, small: CSV) -> None:
    tasks, data = small.tasks, small.data("train")
    small.path.unlink()
    assert small.tasks == tasks
    assert torch.equal(small.data("train").inputs, data.inputs)
    with pytest.raises(DataError, match="cannot be read"):
        CSV(path=tmp_path / "other.csv", targets={"y": "binary"}).check()
    table(small.path, SPLIT + "8,a,train,1\n")
    assert len(small.data("train")) == len(data) + 1, "what is there again is read again"


def test_check_and_log_tell_what_columns_are_and_which_target_is_flat(tmp_path: Path) -> None:
    rows = "".join(f"{i / 4},{'ab'[i % 2]},{i % 7 if i != 4 else 1e6},{i % 2}\n" for i in range(40))
    path = table(tmp_path / "t.csv", "x,c,price,sold\n" + rows)
    spec = {
        "problem": {"name": "csv", "path": str(path), "targets": {"price": "regression", "sold": "binary"},
                    "fractions": [0.8, 0.1, 0.1], "seed": 1, "backbone": {"name": "mlp", "hidden": [4]}},
        "solver": "palora", "training": {"steps": 1, "batch_size": 8}, "evaluate": {"points": 2},
    }  # fmt: skip
    told = [line.removeprefix("note").strip() for line in check(spec) if line.startswith("note")]
    assert told[0] == "t.csv: numbers x; categories c (2)"
    assert re.match(rf"target 'price' is 5\.\d+ in {re.escape(str(path))}, line 6, far from all others", told[1])
    solve(spec, tmp_path / "run")
    log = (tmp_path / "run" / "log.txt").read_text()
    assert all(note in log for note in told)


def test_check_and_log_tell_a_column_that_looks_like_an_id(tmp_path: Path) -> None:
    rows = "".join(f"{i},{i % 9 / 4},h{i},{i % 7},{i % 2}\n" for i in range(40))
    path = table(tmp_path / "t.csv", "nr,x,house,price,sold\n" + rows)
    problem = {"name": "csv", "path": str(path), "targets": {"price": "regression", "sold": "binary"},
               "backbone": {"name": "mlp", "hidden": [4]}}  # fmt: skip
    training: dict[str, Any] = {"solver": "palora", "training": {"steps": 1}, "evaluate": {"points": 2}}
    told = [line.removeprefix("note").strip() for line in check({"problem": problem, **training}) if "an id" in line]
    assert [note.partition(" looks")[0] for note in told] == ["column 'nr'", "column 'house'"]
    solve({"problem": problem, **training}, tmp_path / "run")
    for file in ("log.txt", "report.txt"):
        page = (tmp_path / "run" / file).read_text()
        assert all(note in page for note in told)
    for silent in ({"ignore": ["nr", "house"]}, {"numeric": ["nr"], "categorical": ["house"]}):
        assert not [line for line in check({"problem": {**problem, **silent}, **training}) if "an id" in line]


def test_all_cells_that_are_wrong_are_told_at_once(tmp_path: Path) -> None:
    """Numbers that are none, of inputs and targets, strays and splits: each with its column and line."""
    text = "x,size,price,when\n" + "".join(f"{i},{i},{i},{('train', 'val', 'test')[i % 3]}\n" for i in range(12))
    for old, new in (
        ("\n3,3,3,", "\nmany,3,3,"), ("\n5,5,5,", "\n5,inf,cheap,"), ("\n7,7,7,val", "\n7,none,dear,dev"),
        ("\n8,8,8,", "\n8,8,cheap,"),
    ):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    path = table(tmp_path / "t.csv", text)
    problem = CSV(path=path, targets={"price": "regression"}, split="when", numeric=("x",))
    with pytest.raises(DataError) as error:
        problem.data("train")
    lines = str(error.value).splitlines()
    assert lines[:3] == [
        f"{path}: column 'x' has 'many' in line 5, which is no finite number",
        f"{path}: column 'price' has 'cheap' in lines 7 and 10, which is no finite number",
        f"{path}: column 'price' has 'dear' in line 9, which is no finite number",
    ]
    assert lines[3].startswith(
        f"{path}: column 'size' seems to be numbers, but 1 of its 12 known cells are none: 'none'"
    )
    assert lines[4:] == [f"{path}: column 'when' has 'dev' in line 9, but a split is one of train, val, test"]


def test_of_many_wrong_cells_ten_are_told_and_the_others_counted(tmp_path: Path) -> None:
    text = "x,y\n" + "".join(f"{i},{f'w{i % 15}' if i % 2 else i}\n" for i in range(60))
    with pytest.raises(DataError) as error:
        CSV(path=table(tmp_path / "t.csv", text), targets={"y": "regression"}).data("train")
    lines = str(error.value).splitlines()
    assert len(lines) == 11
    assert lines[0].endswith("column 'y' has 'w1' in lines 3 and 33, which is no finite number")
    assert lines[10].endswith("t.csv: 10 more cells are wrong")


def test_columns_and_targets_that_are_wrong_are_told_together(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    rows = [f"c{i},d{i},{i},{('yes', 'no', 'unknown')[i % 3]}" for i in range(60)]
    file.write_text("\n".join(["id,joined,size,churn", *rows]))
    problem = CSV(path=file, targets={"churn": "binary"}, max_categories=20)
    with pytest.raises(DataError) as caught:
        problem.data("train")
    first, second, third = str(caught.value).splitlines()
    assert "column 'id' has" in first
    assert "column 'joined' has" in second
    assert "column 'churn' is to be binary, but has 3 values" in third
    assert third.endswith("list under `missing` what means unknown")


def test_a_list_of_missing_without_the_empty_cell_is_told(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("\n".join(["size,y", *(f"{i if i % 9 else ''},{i}" for i in range(60))]))
    with pytest.raises(
        DataError, match="stands for the default one, which has '' for empty cells: write '' into it too"
    ):
        CSV(path=file, targets={"y": "regression"}, missing=("unknown",)).data("train")
