"""`csv` with fairness: groups from a column, as an input or not, in one spec from check to a front."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from moframework.problems.csv import CSV

from moframework import check, load_spec, solve
from moframework.config import OptionError
from moframework.errors import DataError, SpecError
from moframework.losses import EqualizedOdds, EqualOpportunity
from moframework.problem import get_problem


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1200 people; men are hired more often."""
    drawn = random.Random(0)
    lines = ["skill,age,sex,hired"]
    for _ in range(1200):
        skill, sex = drawn.gauss(0, 1), drawn.choice(["m", "f", "m", "f", "x", ""])
        hired = skill + 0.8 * (sex == "m") + drawn.gauss(0, 0.5) > 0.5
        lines.append(f"{skill:.3f},{drawn.randint(18, 65)},{sex},{'yes' if hired else 'no'}")
    path = tmp_path_factory.mktemp("people") / "people.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def made(people: Path, fairness: dict[str, Any], **options: Any) -> Any:
    return get_problem("csv", path=people, targets={"hired": "binary"}, fairness=fairness, **options)


def test_the_group_leaves_the_inputs_unless_it_is_to_be_one(people: Path) -> None:
    plain = CSV(path=people, targets={"hired": "binary"})
    without = made(people, {"sex": "equal_opportunity"})
    told = made(people, {"sex": {"criterion": "equal_opportunity", "input": True}})
    assert plain.input_shape == told.input_shape == (5,)  # skill, age; f, m and x
    assert without.input_shape == (2,)
    assert [task.name for task in told.tasks] == ["hired", "sex_gap"]
    assert told.tasks[1].loss == EqualOpportunity(groups=3)
    assert told.outputs == {"hired": 1}
    told.check()
    without.check()


def test_targets_are_labels_and_groups(people: Path) -> None:
    data = made(people, {"sex": "equalized_odds", "age": {"bins": [30, 50], "input": True}}).data("train")
    rows = [line.split(",") for line in people.read_text().splitlines()]
    chosen = [rows[int(data.origins[i].rpartition(" ")[2]) - 1] for i in range(len(data))]
    label = [int(row[3] == "yes") for row in chosen]
    assert data.targets["sex_gap"].tolist() == [
        [y, {"f": 0, "m": 1, "x": 2, "": -100}[row[2]]] for y, row in zip(label, chosen, strict=True)
    ]
    assert data.targets["age_gap"][:, 1].tolist() == [(int(row[1]) >= 30) + (int(row[1]) >= 50) for row in chosen]
    assert made(people, {"sex": "equalized_odds"}).tasks[1].loss == EqualizedOdds(groups=3)


def test_check_tells_the_groups(people: Path) -> None:
    notes = made(people, {"sex": "demographic_parity"}).notes
    assert any(note.startswith("sex_gap: groups f (") and "rows are in none" in note for note in notes)
    assert any("of group 'x' there are few samples" in note for note in notes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"fairness": {"sexx": "demographic_parity"}},
            "has no column 'sexx', which `fairness` names; did you mean 'sex'",
        ),
        ({"fairness": {"age": "demographic_parity"}}, r"people.csv: fairness: column 'age' has 48 .* `bins: \["),
        ({"fairness": {"skill": {"criterion": "demographic_parity", "bins": [99]}}}, "has no number 99 or more"),
    ],
)
def test_columns_that_cannot_be_groups_are_told(people: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        made(people, **options).data("train")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fairness": {"sex": "equal_oportunity"}}, "fairness.sex: must be .* but it is 'equal_oportunity'"),
        ({"fairness": {"sex": {"criteria": "equalized_odds"}}}, "fairness.sex.criteria: unknown key; .* 'criterion'"),
        ({"fairness": {"sex": {"of": "hird"}}}, "fairness.sex.of: .* did you mean 'hired'"),
        ({"fairness": {"sex": {"input": True}}, "ignore": ["sex"]}, "fairness.sex: .*in ignore and, as an input"),
    ],
)
def test_options_that_cannot_be_meant_are_told(people: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        made(people, **options)
    with pytest.raises(OptionError, match="is in split and in fairness"):
        CSV(path=people, targets={"hired": "binary"}, split="sex", fairness={"sex": "demographic_parity"})


def test_from_a_spec_to_a_front(people: Path, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"problem:\n  name: csv\n  path: {people}\n  targets: {{hired: binary}}\n"
        "  fractions: [0.5, 0.1, 0.4]\n  fairness: {sex: {criterion: equal_opportunity, input: true}}\n"
        "  backbone: {name: mlp, hidden: [16]}\n"
        "solver: {name: palora, preferences: {name: annealed, per_batch: 3}}\n"
        "training: {epochs: 60, batch_size: 300, optimizer: {name: adam, lr: 0.02}}\nevaluate: {points: 3, every: 0}\n"
    )
    assert "but 1 for sex_gap" in "\n".join(check(load_spec(spec)))
    front = solve(load_spec(spec), tmp_path / "run").front("test")
    assert front.tasks == ("hired", "sex_gap")
    assert set(front.metrics) == {"hired/accuracy", "hired/f1", "sex_gap/equal_opportunity"}
    gaps, losses = front.losses[:, 1], front.losses[:, 0]
    order = front.preferences[:, 1].argsort()
    assert gaps[order][-1] < gaps[order][0] - 0.05, gaps
    assert losses[order][-1] > losses[order][0]
    assert front.hypervolume() > 0.1


def test_the_sums_are_those_of_the_groups(people: Path) -> None:
    problem = made(people, {"sex": "demographic_parity"})
    target = problem.data("test").targets["sex_gap"]
    output = torch.randn(len(target), 1)
    chance, group = output.sigmoid()[:, 0], target[:, 1]
    means = torch.stack([chance[group == index].mean() for index in range(3)])
    torch.testing.assert_close(problem.tasks[1].loss(output, target), means.max() - means.min())
