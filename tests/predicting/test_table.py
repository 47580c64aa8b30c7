"""A model of a table predicts further rows of it: with the metrics of its run, wherever it is, without the table."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from moframework import Front, ParetoModel, Run, get_problem, solve
from moframework.cli.main import main
from moframework.data import random_split
from moframework.errors import DataError, RunError
from moframework.io.sealed import checksum
from moframework.predicting import Preparation, Reading
from moframework.predicting.table import CategoryColumn, NumberColumn, TableReader
from moframework.problem import preparation_of
from tests.seals import change_json

HOUSES = Path(__file__).parents[1] / "problems" / "houses.csv"
FRACTIONS, SEED = (0.5, 0.25, 0.25), 31
TARGETS = {"price": "regression", "sold": "binary", "kind": "classes"}
HALF = [0.2, 0.3, 0.5]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished `run`, whose table is gone, and `rows.csv`, the raw rows of its test split."""
    folder = tmp_path_factory.mktemp("houses")
    table = shutil.copy(HOUSES, folder / "houses.csv")
    problem = {
        "name": "csv", "path": str(table), "targets": TARGETS, "ignore": ["id"], "fractions": list(FRACTIONS),
        "seed": SEED, "backbone": {"name": "mlp", "hidden": [8]},
    }  # fmt: skip
    spec = {
        "problem": problem, "solver": {"name": "palora", "rank": 1}, "training": {"steps": 40, "batch_size": 6},
        "evaluate": {"points": 4},
    }  # fmt: skip
    solve(spec, folder / "run", device="cpu")
    lines = HOUSES.read_text().splitlines()
    chosen = np.flatnonzero(random_split(12, FRACTIONS, SEED) == 2)
    (folder / "rows.csv").write_text("\n".join([lines[0], *(lines[1 + row] for row in chosen)]) + "\n")
    table.unlink()
    return folder


@pytest.fixture
def model(home: Path) -> ParetoModel:
    return ParetoModel.load(home / "run")


def raw_rows(home: Path) -> list[dict[str, Any]]:
    with (home / "rows.csv").open() as file:
        return list(csv.DictReader(file))


def invoke(*arguments: object) -> str:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_test_split_gets_exactly_the_metrics_of_the_run(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the raw file by the command line, elsewhere, after the training file is gone; by formulas of our own."""
    monkeypatch.chdir(tmp_path)
    front, truth = Run(home / "run").front("test"), raw_rows(home)
    price = np.array([float(row["price"]) for row in truth])
    answer = next(a for a in preparation(home).answers if a.task == "price")
    for j, preference in enumerate(front.preferences):
        out = tmp_path / f"{j}.csv"
        numbers = ",".join(repr(float(value)) for value in preference)
        invoke("predict", home / "run", home / "rows.csv", "--preference", numbers, "--keep", "id", "--out", out)
        with out.open() as file:
            told = list(csv.DictReader(file))
        assert [row["id"] for row in told] == [row["id"] for row in truth]
        assert list(told[0])[:5] == ["id", "price", "sold", "sold/yes", "kind"]

        got = {name: front.metrics[name][j] for name in front.metrics}
        for task in ("sold", "kind"):
            assert got[f"{task}/accuracy"] == pytest.approx(share(told, truth, task), abs=1e-7)
        both = sum(a["sold"] == b["sold"] == "yes" for a, b in zip(told, truth, strict=True))
        either = sum((a["sold"] == "yes") + (b["sold"] == "yes") for a, b in zip(told, truth, strict=True))
        assert got["sold/f1"] == pytest.approx(2 * both / either if either else 0.0, abs=1e-7)
        errors = np.array([float(row["price"]) for row in told]) - price
        assert got["price/mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-6)

        losses = [
            np.square(errors / answer.deviation).mean(),
            -np.mean(
                [np.log(abs((row["sold"] == "no") - float(t["sold/yes"]))) for t, row in zip(told, truth, strict=True)]
            ),
            -np.mean([np.log(float(t[f"kind/{row['kind']}"])) for t, row in zip(told, truth, strict=True)]),
        ]
        assert front.losses[j] == pytest.approx(losses, rel=1e-4)


def share(told: Sequence[dict[str, Any]], truth: Sequence[dict[str, Any]], name: str) -> float:
    return float(np.mean([one[name] == other[name] for one, other in zip(told, truth, strict=True)]))


def preparation(home: Path) -> Preparation:
    found = ParetoModel.load(home / "run").preparation
    assert isinstance(found, Preparation)
    return found


def test_rows_may_come_in_any_form_and_order(home: Path, model: ParetoModel, tmp_path: Path) -> None:
    """Columns in another order, with tabs, packed, without targets, as mappings, columns, a data frame, or one at a
    time: the same answers."""
    expected = model.predict(home / "rows.csv", HALF)
    truth = raw_rows(home)
    names = ["rooms", "city", "heating", "area"]
    bare = [{name: row[name] for name in names} for row in truth]
    (tmp_path / "rows.txt").write_text("\n".join("\t".join(row) for row in (names, *(r.values() for r in bare))))
    typed = {name: [row[name] for row in bare] for name in ("city", "heating")}
    typed |= {name: [float(row[name]) if row[name] else None for row in bare] for name in ("rooms", "area")}
    forms: list[Any] = [tmp_path / "rows.txt", bare, typed]
    for form in forms:
        assert model.predict(form, HALF).rows() == expected.rows()
    ones = [model.predict([row], HALF).rows()[0] for row in bare]
    assert [row["kind"] for row in ones] == expected["kind"].tolist()
    assert [row["price"] for row in ones] == pytest.approx(expected["price"].tolist(), rel=1e-5)


def test_a_data_frame_is_a_table(home: Path, model: ParetoModel) -> None:
    pandas = pytest.importorskip("pandas")
    expected = model.predict(home / "rows.csv", HALF)
    frame = model.predict(pandas.read_csv(home / "rows.csv"), HALF, keep=["id"]).to_frame()
    assert frame["price"].tolist() == expected["price"].tolist()
    assert frame["id"].tolist() == [row["id"] for row in raw_rows(home)]


def test_many_rows_are_read_in_parts(home: Path, model: ParetoModel, tmp_path: Path) -> None:
    header, *lines = (home / "rows.csv").read_text().splitlines()
    many = tmp_path / "many.csv"
    many.write_text("\n".join([header, *(lines * 4000)]))
    parts = list(model.predict_parts(many, HALF, Reading(count=5000)))
    assert len(parts) > 1
    assert sum(map(len, parts)) == 4000 * len(lines)
    expected = model.predict(home / "rows.csv", HALF)["price"].tolist()
    assert parts[-1]["price"][-len(lines) :].tolist() == pytest.approx(expected, rel=1e-5)
    many.write_text(many.read_text() + f"\n{lines[0].replace(lines[0].split(',')[4], 'Bergen')}\n")
    with pytest.raises(DataError, match=rf"'Bergen' in line {2 + 4000 * len(lines)}"):
        model.predict(many, HALF)


def test_categories_that_training_never_saw_are_told(home: Path, model: ParetoModel) -> None:
    row = {**raw_rows(home)[0], "city": "Base", "heating": "coal"}
    with pytest.raises(DataError) as caught:
        model.predict([row], HALF)
    told = str(caught.value)
    assert "column 'city' has 'Base' in row 1, which training never saw; did you mean 'Basel'? It saw 'Basel', " in told
    assert "column 'heating' has 'coal' in row 1" in told
    assert "--unseen missing (in Python unseen='missing')" in told
    unknown = model.predict([{**row, "city": "", "heating": None}], HALF)
    assert model.predict([row], HALF, unseen="missing").rows() == unknown.rows()


def test_wrong_categories_and_numbers_are_told_at_once(home: Path, model: ParetoModel) -> None:
    rows = [{**row, "area": "wide", "rooms": "few"} for row in raw_rows(home)[:2]]
    with pytest.raises(DataError) as caught:
        model.predict([{**rows[0], "city": "Base"}, rows[1]], HALF)
    told = str(caught.value).splitlines()
    assert told[0].startswith("the rows given: column 'city' has 'Base' in row 1")
    assert told[-2:] == [
        "the rows given: column 'area' has 'wide' in rows 1 and 2, which is no finite number",
        "the rows given: column 'rooms' has 'few' in rows 1 and 2, which is no finite number",
    ]


def test_missing_columns_are_told_all_at_once(home: Path, model: ParetoModel) -> None:
    row = raw_rows(home)[0]
    row["room"], row["color"] = row.pop("rooms"), "red"
    del row["area"]
    with pytest.raises(DataError) as caught:
        model.predict([row], HALF, keep=["number"])
    told = str(caught.value).splitlines()
    assert told[0] == "the rows given have no column 'area'"
    assert told[1] == "the rows given have no column 'rooms'; did you mean 'room'?"
    assert told[2].startswith("the rows given have no column 'number'")
    assert told[3].startswith("They have ")
    assert told[3].endswith("the model reads area, rooms, heating, city")


def test_other_columns_are_noted_and_what_cannot_be_is_refused(home: Path, model: ParetoModel) -> None:
    row = raw_rows(home)[0]
    assert model.predict([row], HALF).notes == (), "those of the table that was trained on are known"
    (note,) = model.predict([{**row, "color": "red"}], HALF).notes
    assert note == "the rows given: not read, since the model was trained without: color"
    with pytest.raises(DataError, match=r"column 'area' has 'large' in row 1, which is no finite number"):
        model.predict([{**row, "area": "large"}], HALF)
    with pytest.raises(DataError, match="column 'price' cannot be kept"):
        model.predict([row], HALF, keep=["price"])
    with pytest.raises(DataError, match="but not as a int"):
        model.predict(3, HALF)
    with pytest.raises(ValueError, match="a preference has 3 numbers"):
        model.predict([row], [0.5, 0.5])


def test_a_table_without_a_line_of_names(tmp_path: Path) -> None:
    """With targets, without, and with names after all: as each file is."""
    rows = [f"{i},{'ab'[i % 2]},{i % 2}" for i in range(20)]
    (tmp_path / "plain.csv").write_text("\n".join(rows))
    problem = get_problem("csv", path=tmp_path / "plain.csv", names=["x", "c", "y"], targets={"y": "binary"})
    reader = problem.reader
    assert reader is not None
    texts = {"all": "7,b,1\n9,?,0\n", "inputs": "7,b\n9,?\n", "named": "y,c,x\n1,b,7\n0,?,9\n"}
    found = []
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        found += [part.inputs for part in reader.parts(tmp_path / name, Reading())]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert found[0][1, 1:].tolist() == [0, 0], "unknown"


def test_numbers_in_memory_are_the_categories_that_a_file_has(tmp_path: Path) -> None:
    reader = TableReader(
        numbers=(NumberColumn(column="x", mean=0.1, scale=0.3),),
        categories=(CategoryColumn(column="code", categories=("03", "4")),),
        missing=("",),
    )
    (part,) = reader.parts({"code": [3.0, 4, None], "x": [0.4, 0.1, 1 / 3]}, Reading())
    assert part.inputs[:, 1:].tolist() == [[1, 0], [0, 1], [0, 0]]
    (tmp_path / "t.csv").write_text(f"x,code\n0.4,03\n0.1,4\n{1 / 3!r},\n")
    assert torch.equal(next(iter(reader.parts(tmp_path / "t.csv", Reading()))).inputs, part.inputs)


def test_outputs_as_files(home: Path, tmp_path: Path) -> None:
    arguments = ("predict", home / "run", home / "rows.csv", "--preference", "1,1,2", "--keep", "id")
    lines = invoke(*arguments).splitlines()
    for ending in ("jsonl", "npz"):
        assert invoke(*arguments, "--out", tmp_path / f"a.{ending}").strip() == str(tmp_path / f"a.{ending}")
    first = json.loads((tmp_path / "a.jsonl").read_text().splitlines()[0])
    assert [str(value) for value in first.values()] == lines[1].split(",")
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["kind"].shape == (3, 3)
        assert arrays["id"].tolist() == [row["id"] for row in raw_rows(home)]
    done = CliRunner().invoke(main, [*map(str, arguments), "--out", str(tmp_path / "a.txt")])
    assert done.exit_code == 2
    assert "predictions are written as .csv, .jsonl, .parquet, .npz, and the ending says which" in done.output
    for wrong, told in (("0.5,x", "is not numbers with commas between"), ("0.5,0.5", "3 numbers")):
        done = CliRunner().invoke(main, ["predict", str(home / "run"), str(home / "rows.csv"), "--preference", wrong])
        assert done.exit_code == 2
        assert told in done.output


def test_a_file_that_exists_is_left_as_it_was_when_predicting_fails(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.csv"
    out.write_text("mine")
    (tmp_path / "bad.csv").write_text("area,rooms,heating,city\n1,2,coal,Bern\n")
    done = CliRunner().invoke(
        main, ["predict", str(home / "run"), str(tmp_path / "bad.csv"), "--preference", "1,1,1", "--out", str(out)]
    )
    assert done.exit_code == 1
    assert "'coal' in line 2" in done.output
    assert out.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "bad.csv"]


def test_parquet_says_what_to_install_or_works(home: Path, model: ParetoModel, tmp_path: Path) -> None:
    answers = model.predict(home / "rows.csv", HALF, keep=["id"])
    if find_spec("pyarrow") is None:
        with pytest.raises(DataError, match=r"pip install 'moframework\[parquet\]'"):
            answers.save(tmp_path / "a.parquet")
        with pytest.raises(DataError, match=r"pip install 'moframework\[parquet\]'"):
            model.predict(tmp_path / "a.parquet", HALF)
        return
    pandas = pytest.importorskip("pandas")
    answers.save(tmp_path / "a.parquet")
    assert pandas.read_parquet(tmp_path / "a.parquet").to_dict("records") == answers.rows()
    pandas.read_csv(home / "rows.csv").to_parquet(tmp_path / "rows.parquet")
    assert model.predict(tmp_path / "rows.parquet", HALF).rows() == model.predict(home / "rows.csv", HALF).rows()


def copied(home: Path, folder: Path) -> Path:
    shutil.copytree(home / "run", folder / "run")
    return folder / "run"


def test_a_damaged_preparation_is_told_and_the_model_still_loads(home: Path, tmp_path: Path) -> None:
    run = copied(home, tmp_path)
    path = run / "model" / "preparation.json"
    path.write_text(path.read_text().replace("Basel", "Bosel"))
    assert any("preparation.json is not what was written" in fault for fault in Run(run).damaged())
    model = Run(run).model()
    assert model.at(HALF) is not None
    with pytest.raises(RunError, match=r"preparation\.json is not what was written: its SHA-256 .*--resume"):
        model.predict(home / "rows.csv", HALF)


def test_a_model_of_an_earlier_version_says_what_to_do(home: Path, tmp_path: Path) -> None:
    run = copied(home, tmp_path)
    known = preparation(home)
    old = ParetoModel.load(run)
    old.preparation = None
    old.save(run / "model")
    assert not (run / "model" / "preparation.json").exists()
    old = ParetoModel.load(run)
    with pytest.raises(RunError, match=r"or by an earlier version\. .*preparation_of\(problem\), then model\.save"):
        old.predict(home / "rows.csv", HALF)
    problem = get_problem(
        "csv", path=HOUSES, targets=TARGETS, ignore=["id"], fractions=list(FRACTIONS), seed=SEED
    )  # fmt: skip
    assert preparation_of(problem) == known
    old.preparation = known
    old.save(run / "model")
    expected = Run(home / "run").predict(home / "rows.csv", HALF).rows()
    assert Run(run).predict(home / "rows.csv", HALF).rows() == expected


def test_nothing_in_a_preparation_is_executed(home: Path, tmp_path: Path) -> None:
    run = copied(home, tmp_path)
    mark = tmp_path / "mark"
    (tmp_path / "hostile.py").write_text(f"open({str(mark)!r}, 'w').close()\nclass Mine: pass\n")
    folder = run / "model"
    change_json(folder / "preparation.json", reader={"python": f"{tmp_path / 'hostile.py'}:Mine"})
    change_json(folder / "model.json", preparation_sha256=checksum(folder / "preparation.json"))
    model = ParetoModel.load(run)
    with pytest.raises(RunError, match=r"preparation\.json: reader\.python: .*hostile\.py:Mine' is code"):
        model.predict(home / "rows.csv", HALF)
    assert not mark.exists()


def test_the_raw_rows_of_the_test_split_evaluate_to_the_front_of_the_run(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere, after the training file is gone; the command line reads a table, Python a .parquet file too."""
    monkeypatch.chdir(tmp_path)
    stored = Run(home / "run").front("test")
    told = invoke("evaluate", home / "run", "--data", home / "rows.csv", "--out", "front.json")
    assert "front on rows.csv, " in told
    files: list[Path | str] = [home / "rows.csv"]
    if find_spec("pyarrow"):
        from pyarrow import Table, parquet

        rows = raw_rows(home)
        numbers = {"price": float, "rooms": float}
        for row in rows:
            row.update({name: make(row[name]) for name, make in numbers.items() if row[name] not in ("", "?")})
        parquet.write_table(Table.from_pylist(rows), tmp_path / "rows.parquet")
        files.append(tmp_path / "rows.parquet")
    fronts = [Front.load("front.json"), *(Run(home / "run").evaluate(data=file) for file in files)]
    for found in fronts:
        np.testing.assert_allclose(found.losses, stored.losses, rtol=1e-6, atol=1e-6)
        for name, values in stored.metrics.items():
            np.testing.assert_allclose(found.metrics[name], values, rtol=1e-6)
        assert (found.preferences == stored.preferences).all()
    assert [found.split for found in fronts] == ["rows.csv", *(Path(file).name for file in files)], "not called test"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("price", "prise"), "no column 'price'; did you mean 'prise'?"),
        (lambda text: text.replace("kind", "sort"), "no column 'kind'"),
        (lambda text: _with(text, "price", "cheap"), "column 'price' has 'cheap' in line 2, which is no finite number"),
        (lambda text: _with(text, "kind", "castle"), "target 'kind' has the class 'castle' in line 2, which training"),
        (lambda text: _with(text, "city", "Atlantis"), "column 'city' has 'Atlantis' in line 2"),
        (lambda text: _with(text, "area", "big"), "column 'area' has 'big' in line 2, which is no finite number"),
    ],
)
def test_labeled_rows_that_do_not_fit_are_told(
    home: Path, tmp_path: Path, change: Callable[[str], str], words: str
) -> None:
    file = tmp_path / "new.csv"
    file.write_text(change((home / "rows.csv").read_text()))
    with pytest.raises(DataError, match=re.escape(words)) as error:
        Run(home / "run").evaluate(data=file)
    assert str(error.value).startswith(str(file))


def test_unseen_categories_count_as_unknown_where_that_is_said(home: Path, tmp_path: Path) -> None:
    text = (home / "rows.csv").read_text()
    fronts = []
    for city in ("Atlantis", ""):
        (tmp_path / "new.csv").write_text(_with(text, "city", city))
        fronts.append(Run(home / "run").evaluate(data=tmp_path / "new.csv", unseen="missing"))
    assert (fronts[0].losses == fronts[1].losses).all()


def _with(text: str, column: str, cell: str) -> str:
    """A table with another cell in its first row."""
    head, first, *others = text.splitlines()
    cells = first.split(",")
    cells[head.split(",").index(column)] = cell
    return "\n".join([head, ",".join(cells), *others]) + "\n"
