from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from moframework.benchmark.loading import load_benchmark
from moframework.config import unstructure
from moframework.errors import SpecError
from moframework.spec import bundled_specs, load_spec
from moframework.tuning.loading import best_spec, contender_study, load_study, own_choice, study_schema, trial_spec
from moframework.tuning.spec import Contest, Study
from tests.tuning.parts import LR, SMALL, contest, study, tiny

TEXT = """\
problem: digits
solver: palora
training: {epochs: 2}
tune:
  trial: 3
  ranges:
    training.optimizer.lrr: {log: [1e-4, 1e-2]}
    training.optimizer.lr: {log: [0, 1e-2]}
    solvr.alpha: {uniform: [1, 2]}
    training.epochs: {integers: [1, 2]}
    problem.train: {integers: [1, 2]}
    solver.preferences: {choices: [dirichlet]}
    solver.preferences.per_batch: {integers: [1, 2]}
"""
REFUSED = """\
extends: quickstart
tune:
  ranges:
    training.optimizer.lrr: {log: [1e-4, 1e-2]}
    solver.rank: {integers: [1, 9999]}
    training.scheduler:
      choices: [null, {name: cosine_anealing}]
"""


def faults(folder: Path, text: str, *overrides: str) -> list[str]:
    path = folder / "s.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as error:
        load_study(path, overrides)
    return [line.removeprefix(f"{path}:") for line in str(error.value).splitlines()]


def test_every_fault_has_its_position(tmp_path: Path) -> None:
    found = faults(tmp_path, TEXT)
    assert [line.split(": ")[:2] for line in found] == [
        ["5:3", "tune.trial"],
        ["8:35", "tune.ranges.training.optimizer.lr.log.0"],
        ["9:5", "tune.ranges.solvr.alpha"],
        ["10:5", "tune.ranges.training.epochs"],
        ["11:5", "tune.ranges.problem.train"],
        ["12:5", "tune.ranges.solver.preferences"],
    ]
    assert "did you mean 'trials'?" in found[0]
    assert "did you mean 'solver.alpha'?" in found[2]
    assert "the budget of a run, which all trials share" in found[3]
    assert "a key begins with training., solver. or problem.augmentation" in found[4]
    assert "beside solver.preferences.per_batch, which is a part of it" in found[5]


def test_ends_and_choices_are_tried_in_the_spec(tmp_path: Path) -> None:
    found = faults(tmp_path, REFUSED)
    assert [line.split(": ")[:2] for line in found] == [
        ["4:5", "tune.ranges.training.optimizer.lrr"],
        ["5:33", "tune.ranges.solver.rank.integers.1"],
        ["7:23", "tune.ranges.training.scheduler.choices.1"],
    ]
    assert "did you mean 'lr'?" in found[0]
    assert "solver.rank: must be at least 1 and at most 4096, but it is 9999" in found[1]
    assert "did you mean 'cosine_annealing'?" in found[2]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"evaluate": {"every": 0}}, "evaluate.every is 0. Validate more often"),
        ({"training": {"epochs": 1}}, "evaluate.every is 1, and a trial has 1 epoch, so that it validates at its end"),
        ({"solver": {"name": "soup", "members": "runs/x"}}, "the solver does not train"),
    ],
)
def test_pruning_needs_validations(changes: dict[str, Any], words: str) -> None:
    spec = tiny(ranges={LR: {"log": [1e-3, 1]}}, pruning={}) | changes
    with pytest.raises(SpecError, match=r"tune\.pruning: there are no validations to prune by: ") as error:
        load_study(spec)
    assert words in str(error.value)


def test_epochs_of_a_trial() -> None:
    with pytest.raises(SpecError, match=r"tune\.epochs: .*training\.steps says how long"):
        load_study(tiny(epochs=1) | {"training": {"steps": 4}})
    short = study(epochs=1)
    assert trial_spec(short, {LR: 0.5}, [2.0, 2.0], "x").training.epochs == 1
    assert best_spec(short, {LR: 0.5}, None, "x").training.epochs == 2


def test_the_spec_of_a_trial() -> None:
    made = trial_spec(study(), {LR: 0.5, "solver.rank": 3}, [2.0, 2.0], "tiny-0001")
    assert unstructure(made)["training"]["optimizer"]["lr"] == 0.5
    assert unstructure(made)["solver"]["rank"] == 3
    assert (made.evaluate.reference, made.name, made.log) == ((2.0, 2.0), "tiny-0001", ())
    assert own_choice(study())[0] == {
        LR: 0.01, "solver.rank": 1, "training.accumulate": 1, "training.recompute": False,
    }  # fmt: skip


def test_a_range_of_an_entry_of_a_list() -> None:
    lr = "training.parameter_groups.0.lr_factor"
    groups = [{"match": "linear.*", "lr_factor": 0.5}, {"match": "*.bias"}]
    tune = {"ranges": {lr: {"log": [0.1, 1]}}}
    training = {"epochs": 1, "parameter_groups": groups}
    given = load_study({"problem": "digits", "solver": "single", "training": training, "tune": tune})
    assert isinstance(given, Study)
    assert own_choice(given) == ({lr: 0.5}, [])
    tried = unstructure(trial_spec(given, {lr: 0.2}, None, "x"))["training"]["parameter_groups"]
    assert [group["lr_factor"] for group in tried] == [0.2, 1.0]


def test_what_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"tune: is missing; .* as in \{ranges: "):
        load_study("quickstart")
    with pytest.raises(SpecError, match=r"arm\.yaml:.*: tune\.grid: unknown key"):
        load_study("benchmarks/arm")
    (tmp_path / "s.yaml").write_text("problem: digits\nsolver: palora\ntune: {ranges: {}}\n")
    with pytest.raises(SpecError, match=r"s\.yaml:3:1: tune: .*; run: moframework tune .*s\.yaml"):
        load_spec(tmp_path / "s.yaml")
    with pytest.raises(SpecError, match=r"tune\.ranges: ranges are searched before .*load_study takes it"):
        load_benchmark({"problems": ["digits"], "solvers": ["palora"], "tune": {"ranges": {}}})


ADAPTERS = {"solver": {"name": "palora", "rank": 1}, "label": "adapters"}
BOTH: dict[str, Any] = {
    "problems": [{"problem": SMALL, "label": "small"}],
    "solvers": [ADAPTERS, "multipoint"],
    "tune": {"ranges": {LR: {"log": [1e-3, 1]}}, "contenders": {"adapters": {"solver.rank": {"integers": [1, 4]}}}},
}


def test_each_contender_has_its_own_ranges_beside_those_of_all() -> None:
    made = contest(BOTH | {"seeds": [3, 4]})
    first, second = (contender_study(made, 0, place) for place in (0, 1))
    assert list(first.tune.ranges) == [LR, "solver.rank"]
    assert list(second.tune.ranges) == [LR]
    assert first.seed == second.seed == 3
    assert first.tune.trials == second.tune.trials == made.tune.trials
    assert type(second.solver).__name__ == "Multipoint"


def test_a_grid_gives_way_to_ranges(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(
        "extends: benchmarks/arm\ntune: {ranges: {training.optimizer.lr: {log: [1e-3, 1]}}}\n"
    )
    made = load_study(tmp_path / "b.yaml")
    assert isinstance(made, Contest)
    assert made.name == "b"
    assert list(made.tune.ranges) == [LR]


def test_faults_of_contenders(tmp_path: Path) -> None:
    text = "problems: [digits]\nsolvers: [palora, multipoint]\ntune:\n  ranges:\n    solver.rank: {integers: [1, 4]}\n"
    found = faults(tmp_path, text + "  contenders:\n    palor: {}\n    palora: {solver.ran: {integers: [1, 2]}}\n")
    assert [line.split(": ")[:2] for line in found] == [
        ["5:5", "tune.ranges.solver.rank"],
        ["7:5", "tune.contenders.palor"],
        ["8:14", "tune.contenders.palora.solver.ran"],
    ]
    assert found[0].endswith("(in solvers.1)")
    assert "no contender; did you mean 'palora'? allowed: palora, multipoint" in found[1]


def test_schema() -> None:
    schema = study_schema()
    validator = jsonschema.Draft7Validator(schema)
    for good in (tiny(), BOTH, {"extends": "quickstart", "tune": {"ranges": {LR: {"log": [1, 2]}}}}):
        assert validator.is_valid(good), good
    wrong = tiny() | {"tune": {"ranges": {LR: {"lgo": [1, 2]}}}}
    for bad in (wrong, tiny(trials=0), {"problem": "digits", "solver": "palora"}):
        assert not validator.is_valid(bad), bad


def test_bundled_studies() -> None:
    names = [name for name in bundled_specs() if name.startswith("studies/")]
    assert {"studies/digits", "studies/multimnist", "studies/time-to-front"} <= set(names)
    for name in names:
        made = load_study(name)
        if isinstance(made, Study):
            assert own_choice(made)[1] == [], f"{name}: the spec's own values are not tried"


def test_augmentation_is_tuned_for_training_alone_sees_it() -> None:
    """As a whole, and an option of one; what the problem refuses is told at the range."""
    spec = {
        "problem": {
            "name": "scenes",
            "size": [16, 16],
            "train": 8,
            "val": 4,
            "test": 4,
            "augmentation": [{"name": "flip"}],
        },
        "solver": "palora",
        "tune": {"ranges": {"problem.augmentation": {"choices": [[], [{"name": "flip"}]]}}},
    }
    study = load_study(spec)
    made = trial_spec(study, {"problem.augmentation": []}, None, "one")
    assert (made.problem.augmentation, own_choice(study)[0]["problem.augmentation"]) == ((), [{"name": "flip"}])
    bare = {**spec, "problem": {**spec["problem"], "augmentation": []}}
    assert own_choice(load_study(bare)) == ({"problem.augmentation": []}, [])
    one = load_study({**spec, "tune": {"ranges": {"problem.augmentation.0.probability": {"uniform": [0.2, 0.6]}}}})
    made = trial_spec(one, {"problem.augmentation.0.probability": 0.25}, None, "one")
    assert made.problem.augmentation[0].probability == 0.25
    with pytest.raises(
        SpecError,
        match=r"0.probability.uniform.1: problem.augmentation.0.probability: must be at least 0 and at most 1",
    ):
        load_study({**spec, "tune": {"ranges": {"problem.augmentation.0.probability": {"uniform": [0.2, 6]}}}})
