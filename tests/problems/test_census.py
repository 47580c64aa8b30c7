"""`census`: on a small table in the published layout, and on the real data where MOFRAMEWORK_DATA has it."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from moframework.problems.census import Census

from moframework.data import SPLITS
from moframework.errors import DataError, SpecError
from moframework.problem import get_problem

WIDTH = 42
# Column numbers of the documentation of the data, counted from 0.
AGE, EDUCATION, MARITAL, SEX, HOUSEHOLD, WEIGHT, INCOME = 0, 4, 7, 12, 22, 24, 41
NUMERIC = (AGE, 5, 16, 17, 18, WEIGHT, 39)
EDUCATIONS = {
    "Less than 1st grade": 0,
    "High school graduate": 0,
    "Some college but no degree": 1,
    "Associates degree-academic program": 1,
    "Bachelors degree(BA AB BS)": 1,
    "Masters degree(MA MS MEng MEd MSW MBA)": 1,
    "Prof school degree (MD DDS DVM LLB JD)": 1,
    "Doctorate degree(PhD EdD)": 1,
}
MARITALS = ["Never married", "Divorced", "Married-civilian spouse present"]
INCOMES = ["- 50000.", "50000+."]


def persons(count: int, seed: int) -> list[list[str]]:
    """Answers at random: every categorical column not named above has the values a and b."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        row = [str(rng.choice(["a", "b"])) for _ in range(WIDTH)]
        for column in NUMERIC:
            row[column] = str(rng.integers(0, 90))
        row[EDUCATION] = str(rng.choice(list(EDUCATIONS)))
        row[MARITAL] = str(rng.choice(MARITALS))
        row[SEX] = str(rng.choice(["Male", "Female"]))
        row[INCOME] = str(rng.choice(INCOMES))
        rows.append(row)
    return rows


def text(rows: list[list[str]]) -> str:
    return "".join(", ".join(row) + "\n" for row in rows)


LEARNED, ASKED = persons(60, 0), persons(20, 1)
LEARNED[7][HOUSEHOLD] = "Grandchild <18 ever marr not in subfamily"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOFRAMEWORK_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data" / "census"
    folder.mkdir(parents=True)
    (folder / "census-income.data").write_text(text(LEARNED))
    (folder / "census-income.test").write_text(text(ASKED))
    return tmp_path / "data"


def test_facts() -> None:
    problem = get_problem("census")
    assert problem == Census()
    assert [task.name for task in problem.tasks] == ["age", "education"]
    assert problem.outputs == {"age": 2, "education": 2}
    assert problem.reference == (1.0, 1.0)
    other = get_problem("census", tasks=["income", "never_married", "age"])
    assert [task.name for task in other.tasks] == ["income", "never_married", "age"]
    assert other.reference == (1.0, 1.0, 1.0)


def test_sizes_and_types(root: Path) -> None:
    problem = Census(root=root)
    for split, size in zip(SPLITS, (48, 11, 20), strict=True):  # 59 remain after the one left out
        data = problem.data(split)
        assert data.inputs.shape == (size, *problem.input_shape)
        assert data.inputs.dtype == torch.float32
        assert list(data.targets) == ["age", "education"]
        for target in data.targets.values():
            assert (target.shape, target.dtype) == ((size,), torch.int64)
    problem.check()
    with pytest.raises(ValueError, match="no split 'valid'"):
        problem.data("valid")  # type: ignore[arg-type]


def test_labels_are_those_of_the_answers(root: Path) -> None:
    data = Census(root=root, tasks=("age", "education", "income", "never_married")).data("test")
    expected = {
        "age": [int(int(row[AGE]) >= 40) for row in ASKED],
        "education": [EDUCATIONS[row[EDUCATION]] for row in ASKED],
        "income": [INCOMES.index(row[INCOME]) for row in ASKED],
        "never_married": [int(row[MARITAL] == "Never married") for row in ASKED],
    }
    for name, found in data.targets.items():
        assert found.tolist() == expected[name], name
        assert 0 < sum(expected[name]) < len(ASKED)


def test_masters_count_unless_the_published_labels_are_asked_for(root: Path) -> None:
    published = Census(root=root, masters=False).data("test").targets["education"].tolist()
    expected = [EDUCATIONS[row[EDUCATION]] * (not row[EDUCATION].startswith("Masters")) for row in ASKED]
    assert published == expected
    assert published != Census(root=root).data("test").targets["education"].tolist()


def test_inputs_are_the_answers(root: Path) -> None:
    """Numbers standardized by the training rows, one-hot answers sorted, sex last."""
    problem = Census(root=root)
    inputs = problem.data("test").inputs
    numbers = [column for column in (AGE, 5, 18, 16, 17, 39, WEIGHT) if column != AGE]
    # four migration and year columns are left out, as are the tasks' own
    categorical = [c for c in range(WIDTH) if c not in (*NUMERIC, EDUCATION, SEX, 25, 26, 27, 40)]
    expected = []
    for row in ASKED:
        cells: list[float] = []
        for column in categorical:
            known = sorted({other[column] for i, other in enumerate(LEARNED) if i != 7})
            cells += [float(row[column] == value) for value in known]
        expected.append([*cells, float(row[SEX] == "Male")])
    assert inputs[:, len(numbers) :].tolist() == expected
    train = problem.data("train").inputs[:, : len(numbers)]
    assert train.mean(dim=0).abs().max() < 1e-6
    torch.testing.assert_close(train.std(dim=0, unbiased=False), torch.ones(len(numbers)))
    for position, column in enumerate(numbers):
        found, answers = inputs[:, position].numpy(), np.array([float(row[column]) for row in ASKED])
        np.testing.assert_allclose(np.corrcoef(found, answers)[0, 1], 1, atol=1e-5)


def test_what_is_told_is_no_input(root: Path) -> None:
    """Changing every answer that a task is made from changes no input."""
    tasks = ("age", "education", "income", "never_married")
    before = Census(root=root, tasks=tasks).data("test")
    changed = [list(row) for row in ASKED]
    for row in changed:
        row[AGE], row[EDUCATION] = "41", "High school graduate"
        row[MARITAL], row[INCOME] = MARITALS[0], INCOMES[0]
    (root / "census" / "census-income.test").write_text(text(changed))
    after = Census(root=root, tasks=tasks).data("test")
    assert torch.equal(before.inputs, after.inputs)
    assert not torch.equal(before.targets["age"], after.targets["age"])


def test_the_instance_weight_may_be_left_out(root: Path) -> None:
    whole, rest = Census(root=root), Census(root=root, instance_weight=False)
    assert rest.input_shape == (whole.input_shape[0] - 1,)
    assert torch.equal(whole.data("val").inputs[:, 6:], rest.data("val").inputs[:, 5:])


def test_rows_are_divided_by_the_seed(root: Path, tmp_path: Path) -> None:
    weights: dict[str, list[float]] = {}
    for split in ("train", "val"):
        inputs = Census(root=root).data(split).inputs  # type: ignore[arg-type]
        weights[split] = [tuple(row) for row in inputs[:, 6:].tolist()]  # type: ignore[misc]
    assert not set(map(str, weights["train"])) & set(map(str, weights["val"]))
    again = Census(root=root).data("val").inputs
    assert torch.equal(again, Census(root=root).data("val").inputs)
    assert not torch.equal(again, Census(root=root, seed=1).data("val").inputs)
    assert torch.equal(
        Census(root=root, seed=1).data("test").targets["age"], Census(root=root).data("test").targets["age"]
    )
    cached = [path for path in (tmp_path / "cache").iterdir() if path.suffix == ".safetensors"]
    assert len(cached) == 2


@pytest.mark.parametrize("folder", ["census-income-mld", "census+income+kdd", "."])
def test_the_archives_own_layout_will_do(root: Path, folder: str) -> None:
    plain = Census(root=root).data("train").inputs
    (root / folder).mkdir(exist_ok=True)
    for name in ("census-income.data", "census-income.test"):
        source = root / "census" / name
        (root / folder / f"{name}.gz").write_bytes(gzip.compress(source.read_bytes()))
        source.unlink()
    assert torch.equal(Census(root=root).data("train").inputs, plain)


def test_missing_data(tmp_path: Path, root: Path) -> None:
    with pytest.raises(DataError) as error:
        Census(root=tmp_path / "empty").data("train")
    message = str(error.value)
    assert f"in {tmp_path / 'empty' / 'census'}, but there is no census-income.data" in message
    assert "Get them from https://archive.ics.uci.edu/dataset/117" in message
    assert "MOFRAMEWORK_DATA" in message
    (root / "census" / "census-income.test").unlink()
    with pytest.raises(DataError, match=r"there is no census-income\.test"):
        _ = Census(root=root).input_shape


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("<html>\n", "line 1: 1 cells where there should be 42"),
        (text([["x"] * WIDTH]), "is not Census-Income"),
        (text([["40"] * WIDTH]), "is not Census-Income"),
    ],
)
def test_files_that_are_not_census(root: Path, content: str, words: str) -> None:
    (root / "census" / "census-income.data").write_text(content)
    with pytest.raises(DataError, match=words):
        Census(root=root).data("train")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tasks": []}, "tasks: must name at least one task"),
        ({"tasks": ["age", "age"]}, "tasks: names 'age' twice"),
        ({"tasks": ["ages"]}, "did you mean 'age'"),
    ],
)
def test_wrong_options(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        get_problem("census", **options)


real = pytest.mark.skipif(
    "MOFRAMEWORK_DATA" not in os.environ, reason="set MOFRAMEWORK_DATA to a folder with census/ to run on real data"
)


@pytest.mark.real_data
@real
def test_real_data() -> None:
    """The published widths; counts of the documentation of the data."""
    problem = Census()
    assert problem.input_shape == (468,)
    assert Census(tasks=("income", "never_married")).input_shape == (477,)
    assert Census(tasks=("income", "age")).input_shape == (483,)
    assert sum(p.numel() for p in problem.backbone().parameters()) == 121_092
    val, test = Census(tasks=("income",)).data("val"), problem.data("test")
    assert (len(val), len(test)) == (39_904, 99_762)
    # "- 50000" has 93.80 % of the rows, says the documentation
    assert float(val.targets["income"].float().mean()) == pytest.approx(0.062, abs=0.003)
    assert test.inputs.isfinite().all()
    problem.check()
