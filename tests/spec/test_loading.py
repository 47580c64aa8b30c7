from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from moframework.config import unstructure
from moframework.errors import SpecError
from moframework.spec.loading import load, schema_of
from moframework.spec.writing import write_yaml
from tests.config.parts import Annealed, Declared, Digits, Grid, Palora, Root, Task, Training


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def faults(text: str | None = None, *overrides: str, name: str = "f.yaml") -> list[str]:
    if text is not None:
        Path(name).write_text(text)
    with pytest.raises(SpecError) as error:
        load(name, Root, overrides, trust=True)
    return str(error.value).splitlines()


def test_a_whole_spec() -> None:
    Path("f.yaml").write_text(
        "problem:\n  tasks: {left: {size: 2}}\nsolver: {name: palora, alpha: 1e-3, preferences: {margin: 0.2}}\n"
        "training: {device: no}\n"
    )
    made = load("f.yaml", Root, ["seed=7", "problem.tasks.right={}"])
    assert made == Root(
        problem=Declared(tasks={"left": Task(size=2), "right": Task()}),
        solver=Palora(alpha=1e-3, preferences=Annealed(temperature=3.0, margin=0.2)),
        training=Training(batch_size=64, device="no"),
        seed=7,
    )
    Path("again.yaml").write_text(write_yaml(unstructure(made)))
    assert load("again.yaml", Root) == made


def test_five_different_mistakes_get_five_located_messages() -> None:
    text = (
        "problem: digits\n"  # 1
        "solver:\n"  # 2
        "  name: paloar\n"  # 3: wrong name
        "training:\n"  # 4
        "  batch_size: 3.7\n"  # 5: wrong type
        "  drop_lats: true\n"  # 6: unknown key
        "  rates: [1, -1]\n"  # 7: out of range
        "seed: 1\n"  # 8
        "seed: 2\n"  # 9: duplicate key
    )
    assert faults(text) == [
        "f.yaml:3:9: solver.name: no solver called 'paloar'; did you mean 'palora'? allowed: grid, palora",
        "f.yaml:5:15: training.batch_size: must be a whole number, but it is 3.7",
        "f.yaml:6:3: training.drop_lats: unknown key; did you mean 'drop_last'? "
        "allowed: batch_size, schedule, drop_last, device, rates",
        "f.yaml:7:14: training.rates.1: must be greater than 0, but it is -1",
        "f.yaml:9:1: seed: is given twice, on lines 8 and 9; keep one",
    ]


def test_more_mistakes() -> None:
    text = (
        "extend: x.yaml\n"
        "solver: {name: palora, epochs: 1, steps: 1, rank: '4'}\n"
        "training: {schedule: fixed, drop_last: no}\n"
        "name: [a]\n"
    )
    assert faults(text) == [
        "f.yaml:1:1: extend: unknown key; did you mean 'extends'? "
        "allowed: problem, solver, training, seed, name, extra, extends",
        "f.yaml:1:1: problem: is missing; it must be the name of a problem, or a mapping with its options "
        "(what is solved)",
        "f.yaml:2:51: solver.rank: must be a whole number, but it is '4'; did you mean 4 (without quotes)?",
        "f.yaml:3:22: training.schedule.points: is missing; it must be a list of numbers (where)",
        "f.yaml:3:40: training.drop_last: must be true or false, but it is 'no'; did you mean false?",
        "f.yaml:4:7: name: must be text or null, but it is a list",
    ]


def test_rule_between_options() -> None:
    text = "problem: digits\nsolver: {name: palora, epochs: 1, steps: 1}\n"
    assert faults(text) == ["f.yaml:2:42: solver.steps: give epochs or steps, not both"]


def test_which_part() -> None:
    assert faults("problem: digits\nsolver:\n  rank: 4\n") == [
        "f.yaml:2:1: solver.name: is missing: which solver? allowed: grid, palora"
    ]


def test_faults_in_a_spec_that_is_extended_and_in_overrides() -> None:
    Path("sub").mkdir()
    Path("sub/base.yaml").write_text("problem: digits\nsolver: {name: palora, rank: 0}\nseed: 1\nseed: 2\n")
    text = "extends: sub/base.yaml\nsolver: {alpha: 0}\ntraining: {batch_size: 4}\n"
    assert faults(text, "solver.conv=left", "training.batch_size=x", "training.drop_last={a: 1}", "sed=1") == [
        "f.yaml:2:17: solver.alpha: must be greater than 0, but it is 0",
        "sub/base.yaml:2:30: solver.rank: must be at least 1, but it is 0",
        "sub/base.yaml:4:1: seed: is given twice, on lines 3 and 4; keep one",
        "--set solver.conv=left:1:13: solver.conv: must be 'loralib' or 'peft', but it is 'left'; did you mean 'peft'?",
        "--set training.batch_size=x:1:21: training.batch_size: must be a whole number, but it is 'x'",
        "--set training.drop_last={a: 1}:1:20: training.drop_last: must be true or false, but it is a mapping",
        "--set sed=1:1:1: sed: unknown key; did you mean 'seed'? "
        "allowed: problem, solver, training, seed, name, extra, extends",
    ]


def test_a_base_that_cannot_be_read_is_not_told_as_missing_options() -> None:
    (found,) = faults("extends: nowhere.yaml\nseed: 1\n")
    assert found.startswith("f.yaml:1:10: extends: 'nowhere.yaml' is neither a file nor a bundled spec")


def test_bad_overrides_are_told_with_the_rest() -> None:
    assert len(faults("extends: nowhere.yaml\n", "seed")) == 2
    assert len(faults("problem: digits\nsolver: {name: palora, rank: 0}\nseed: 3\n", "seed", "seed.x=1", "seed=x")) == 4


def test_no_such_spec() -> None:
    (found,) = faults(name="quikstart")
    assert "did you mean 'quickstart'?" in found


def test_relative_paths_start_from_the_file_they_stand_in(folder: Path) -> None:
    Path("sub").mkdir()
    Path("sub/base.yaml").write_text("problem: {name: digits, root: data}\nsolver: palora\n")
    Path("f.yaml").write_text("extends: sub/base.yaml\nsolver: {initial: start.pt}\n")
    made = load("f.yaml", Root)
    assert made.problem == Digits(root=folder / "sub/data")
    assert made.solver == Palora(initial=folder / "start.pt")
    made = load("sub/base.yaml", Root, ["problem.root=here"])
    assert made.problem == Digits(root=folder / "here")


def test_class_in_a_file_beside_the_spec(folder: Path) -> None:
    Path("sub").mkdir()
    Path("sub/mine.py").write_text(
        "from moframework.config import config, option\nfrom tests.config.parts import Solver\n\n"
        "@config\nclass Mine(Solver):\n    width: int = option(3, ge=1, help='how wide')\n"
    )
    Path("sub/base.yaml").write_text("problem: digits\nsolver: {python: ./mine.py:Mine}\n")
    Path("f.yaml").write_text("extends: sub/base.yaml\nsolver: {width: 5}\n")
    made = load("f.yaml", Root, trust=True)
    assert made.solver.width == 5  # type: ignore[attr-defined]
    assert unstructure(made)["solver"] == {"python": f"{folder}/sub/mine.py:Mine", "width": 5}
    assert load(unstructure(made), Root) == made
    assert faults(None, "solver.width=0") == [
        "--set solver.width=0:1:14: solver.width: must be at least 1, but it is 0"
    ]
    assert "did you mean 'Mine'?" in faults(None, "solver={name: {python: sub/mine.py:Mien}}")[0]


def test_mappings_have_no_positions(folder: Path) -> None:
    made = load({"problem": {"name": "digits", "root": "data"}, "solver": Grid()}, Root, ["seed=3"])
    assert made == Root(problem=Digits(root=folder / "data"), solver=Grid(), seed=3)
    with pytest.raises(SpecError) as error:
        load({"problem": "digit", "solver": {"name": "grid", "points": 0}}, Root, ["seed=-1"])
    assert str(error.value).splitlines() == [
        "problem: no problem called 'digit'; did you mean 'digits'? allowed: digits",
        "solver.points: must be at least 1, but it is 0",
        "--set seed=-1:1:6: seed: must be at least 0, but it is -1",
    ]
    Path("list.yaml").write_text("- a\n")
    with pytest.raises(SpecError, match=r"list.yaml:1:1: a spec must be a mapping of options"):
        load({"extends": "list.yaml"}, Root)


SPECS: list[tuple[dict[str, Any], bool]] = [
    ({"problem": "digits", "solver": "grid"}, True),
    ({"problem": "digits"}, False),
    ({"extends": "base.yaml"}, True),
    ({"extends": ["a", "b"], "solver": {"rank": 3}, "problem": {"reference": [1, 1]}}, True),
    ({"extends": 3}, False),
    ({"extends": "base.yaml", "sed": 3}, False),
    ({"extends": "base.yaml", "solver": {"name": "palora", "rank": "3"}}, False),
    ({"problem": "digits", "solver": {"rank": 3}}, False),
]


@pytest.mark.parametrize(("value", "good"), SPECS)
def test_schema(value: dict[str, Any], good: bool) -> None:
    schema = schema_of(Root)
    Draft7Validator.check_schema(schema)
    assert Draft7Validator(schema).is_valid(value) is good


@pytest.mark.parametrize("overrides", ["training.epochs=5", {"training.epochs": 5}])
def test_overrides_are_a_list(overrides: Any) -> None:
    with pytest.raises(SpecError, match=r"overrides are a list of texts, each KEY=VALUE"):
        load({"problem": "digits"}, Root, overrides)
