"""`adult`: on small files with every answer, and on the real data where MOFRAMEWORK_DATA has it."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from moframework.problems.adult import Adult, _cosmos_rows
from sklearn.model_selection import train_test_split

from moframework import solve
from moframework.config import OptionError
from moframework.data import SPLITS
from moframework.errors import DataError
from moframework.losses import BinaryCrossEntropy, DemographicParity, EqualOpportunity
from moframework.predicting import Reading
from moframework.problem import get_problem

WORK = ("Federal-gov", "Local-gov", "Never-worked", "Private", "Self-emp-inc", "Self-emp-not-inc", "State-gov",
        "Without-pay", "?")  # fmt: skip
SCHOOL = ("Preschool", "1st-4th", "5th-6th", "7th-8th", "9th", "10th", "11th", "12th", "HS-grad", "Assoc-voc",
          "Assoc-acdm", "Prof-school", "Some-college", "Bachelors", "Masters", "Doctorate")  # fmt: skip
MARITAL = ("Married-civ-spouse", "Married-AF-spouse", "Never-married", "Divorced", "Separated", "Widowed",
           "Married-spouse-absent")  # fmt: skip
OCCUPATION = (*(f"Occupation-{i}" for i in range(13)), "Prof-specialty", "?")
RELATIONSHIP = tuple(f"Relation-{i}" for i in range(6))
RACE = ("White", "Black", "Asian-Pac-Islander", "Amer-Indian-Eskimo", "Other")
COUNTRY = (*(f"Country-{i}" for i in range(40)), "United-States", "?")


def row(i: int, stop: str = "") -> str:
    cells = (
        *(20 + i % 60, WORK[i % 9], 1000 + 7 * i, SCHOOL[i % 16], i % 16 + 1, MARITAL[i % 7], OCCUPATION[i % 15]),
        *(RELATIONSHIP[i % 6], RACE[i % 5], ("Male", "Female")[i % 2], 100 * (i % 3), i % 4, 20 + i % 40),
        *(COUNTRY[i % 42], f"{('<=50K', '>50K')[i % 3 == 0]}{stop}"),
    )
    return ", ".join(map(str, cells))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "adult"
    folder.mkdir()
    (folder / "adult.data").write_text("\n".join(row(i) for i in range(200)) + "\n\n")
    (folder / "adult.test").write_text(
        "|1x3 Cross validator\n" + "\n".join(row(i, ".") for i in range(200, 300)) + "\n"
    )
    return folder.parent


def test_facts(root: Path) -> None:
    problem = get_problem("adult")
    assert problem == Adult()
    income, gap = problem.tasks
    assert (income.name, income.loss, income.size) == ("income", BinaryCrossEntropy(), 1)
    assert (gap.name, gap.output_key, gap.loss) == ("equal_opportunity", "income", EqualOpportunity())
    assert get_problem("adult", group="race", criterion="demographic_parity").tasks[1].loss == DemographicParity(
        groups=5
    )
    assert [metric.label for metric in get_problem("adult", form="published").tasks[1].metrics] == [
        "equal_opportunity", "equal_opportunity_published",
    ]  # fmt: skip
    with pytest.raises(OptionError, match="not known of equalized_odds"):
        Adult(form="published", criterion="equalized_odds")


def test_plain(root: Path) -> None:
    problem = Adult(root=root)
    assert [len(problem.data(split)) for split in SPLITS] == [160, 40, 100]
    # six numbers; 8, 16, 7, 14, 6, 5 and 41 answers, without `?`
    assert problem.input_shape == (6 + 8 + 16 + 7 + 14 + 6 + 5 + 41,)
    assert Adult(root=root, group_is_input=True).input_shape == (104,)
    assert Adult(root=root, group="race").input_shape == (103 - 5 + 1,)
    test = problem.data("test")
    assert test.targets["income"].tolist() == [int(i % 3 == 0) for i in range(200, 300)]
    assert test.targets["equal_opportunity"].tolist() == [[int(i % 3 == 0), int(i % 2 == 0)] for i in range(200, 300)]
    numbers = problem.data("train").inputs[:, :6]
    torch.testing.assert_close(numbers.mean(dim=0), torch.zeros(6), atol=1e-5, rtol=0)
    problem.check()
    assert problem.notes[0] == "equal_opportunity: groups Female (150), Male (150) of column 'sex'"


def test_as_cosmos_prepares_it(root: Path) -> None:
    problem = Adult(root=root, preparation="cosmos", split="cosmos", form="published")
    parts = [problem.data(split) for split in SPLITS]
    assert problem.input_shape == (88,)
    # the rows of the test file first, then as scikit-learn divides them
    income = np.array([int(i % 3 == 0) for i in (*range(200, 300), *range(200))])
    rest, test = train_test_split(income, test_size=0.2, random_state=1)
    train, val = train_test_split(rest, test_size=0.125, random_state=1)
    for part, expected in zip(parts, (train, val, test), strict=True):
        assert part.targets["income"].tolist() == expected.tolist()
    whole = torch.cat([part.inputs for part in parts])
    torch.testing.assert_close(whole.mean(dim=0), torch.zeros(88), atol=1e-5, rtol=0)  # over all rows
    torch.testing.assert_close(whole.std(dim=0, correction=0), torch.ones(88), atol=1e-4, rtol=0)
    problem.check()


def test_an_answer_that_is_missing_is_told(root: Path, tmp_path: Path) -> None:
    (tmp_path / "adult").mkdir()
    for name in ("adult.data", "adult.test"):
        text = (root / "adult" / name).read_text().replace("Country-7,", "Country-6,")
        (tmp_path / "adult" / name).write_text(text)
    assert Adult(root=tmp_path).input_shape == (102,)
    with pytest.raises(DataError, match="gives 88 inputs, but of these files 87"):
        Adult(root=tmp_path, preparation="cosmos").data("train")


def test_files_that_are_not_adult_are_told(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"adult needs adult.data and adult.test .* there is no adult.data\. Get them"):
        Adult(root=tmp_path).data("train")
    (tmp_path / "adult").mkdir()
    for name in ("adult.data", "adult.test"):
        (tmp_path / "adult" / name).write_text((root / "adult" / name).read_text().replace(" >50K", " much"))
    with pytest.raises(DataError, match=r"adult.data is not Adult: delete it"):
        Adult(root=tmp_path).data("train")


@pytest.mark.parametrize("count", [10, 101, 48_842])
def test_rows_are_divided_as_by_scikit_learn(count: int) -> None:
    rest, test = train_test_split(np.arange(count), test_size=0.2, random_state=1)
    train, val = train_test_split(rest, test_size=0.125, random_state=1)
    found = _cosmos_rows(count)
    for split, expected in zip(SPLITS, (train, val, test), strict=True):
        assert found[split].tolist() == expected.tolist()


real = pytest.mark.skipif(
    "MOFRAMEWORK_DATA" not in os.environ, reason="set MOFRAMEWORK_DATA to a folder with adult/ to run on real data"
)


@pytest.mark.real_data
@real
def test_real_data() -> None:
    problem = Adult(preparation="cosmos", split="cosmos")
    parts = {split: problem.data(split) for split in SPLITS}
    assert {split: len(part) for split, part in parts.items()} == {"train": 34_188, "val": 4_885, "test": 9_769}
    assert problem.input_shape == (88,)
    targets = torch.cat([part.targets["equal_opportunity"] for part in parts.values()])
    income, man = targets[:, 0].float(), targets[:, 1] == 1
    assert float(income.mean()) == pytest.approx(0.239, abs=0.001)
    assert float(income[man].mean()) == pytest.approx(0.304, abs=0.001)
    assert float(income[~man].mean()) == pytest.approx(0.109, abs=0.001)
    assert [len(Adult().data(split)) for split in SPLITS] == [26_049, 6_512, 16_281]
    assert len(list(itertools.chain(*Adult(group="race").notes))) > 0


@pytest.mark.parametrize("options", [{}, {"group": "race"}, {"group_is_input": True}])
def test_raw_rows_of_the_file_become_the_inputs_of_training(root: Path, options: dict[str, Any]) -> None:
    problem = Adult(root=root, **options)
    reader = problem.reader
    assert reader is not None
    made = torch.cat([part.inputs for part in reader.parts(root / "adult" / "adult.test", Reading())])
    assert torch.equal(made, problem.data("test").inputs)
    assert Adult(root=root, preparation="cosmos", group="race").reader is None


def test_a_model_answers_raw_rows(root: Path, tmp_path: Path) -> None:
    spec = {"problem": {"name": "adult", "root": str(root)}, "solver": {"name": "palora", "rank": 1},
            "training": {"steps": 2, "batch_size": 32}, "evaluate": {"points": 2}}  # fmt: skip
    made = solve(spec, tmp_path / "run", device="cpu")
    (tmp_path / "new.data").write_text(row(7) + "\n" + row(8).rpartition(", ")[0] + ", ?\n")
    answers = made.predict(tmp_path / "new.data", [1, 0])
    assert set(answers["income"]) <= {"<=50K", ">50K"}
    assert len(answers["income/>50K"]) == 2
    (tmp_path / "new.data").write_text(row(7).replace("Self-emp-not-inc", "Idle").replace("Without-pay", "Idle") + "\n")
    with pytest.raises(DataError, match=r"new.data: column 'workclass' has 'Idle' in line 1, which training never saw"):
        made.predict(tmp_path / "new.data", [1, 0])
