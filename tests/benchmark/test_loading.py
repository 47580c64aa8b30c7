from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from moframework.benchmark.loading import benchmark_schema, cell_spec, load_benchmark
from moframework.config import unstructure
from moframework.errors import SpecError
from moframework.spec import bundled_specs
from moframework.spec.marks import Source, plain
from moframework.spec.reading import read_yaml
from tests.benchmark.parts import tiny


def faults(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(SpecError) as error:
        load_benchmark(path, overrides)
    return [line.removeprefix(f"{path}:") for line in str(error.value).splitlines()]


def test_short_and_whole_entries_are_the_same(tmp_path: Path) -> None:
    short = {"problems": ["digits"], "solvers": ["palora", {"name": "multipoint", "points": 3}]}
    whole = {
        "problems": [{"problem": "digits"}],
        "solvers": [{"solver": {"name": "palora"}}, {"solver": {"name": "multipoint", "points": 3}}],
    }
    loaded = load_benchmark(short)
    assert loaded == load_benchmark(whole)
    assert [entry.title for entry in loaded.solvers] == ["palora", "multipoint"]
    path = tmp_path / "expanded.yaml"
    path.write_text(loaded.to_yaml().replace("name: null", "name: x"))
    assert unstructure(load_benchmark(path)) == {**unstructure(loaded), "name": "x"}


def test_name_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("problems: [digits]\nsolvers: [palora]\n")
    assert load_benchmark(path).name == "mine"


def test_the_spec_of_a_run_is_told_with_its_command(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text("problem: digits\nsolver: palora\n")
    assert faults(path, "solvers.0.solver.rank=2") == [
        f"1:1: problem: this is the spec of one run, not a benchmark; run: moframework solve {path}"
    ]
    with pytest.raises(SpecError, match=r"^solver: this is the spec of one run, .*; load_spec takes it$"):
        load_benchmark({"solver": "palora"})


def test_layers_of_a_cell() -> None:
    benchmark = load_benchmark(tiny(
        problems=[{"problem": "digits", "training": {"optimizer": {"lr": 0.5}, "batch_size": 8}}],
        solvers=["palora", {"solver": "multipoint", "training": {"batch_size": 4}, "evaluate": {"points": 7}}],
    ))  # fmt: skip
    first, second = (cell_spec(benchmark, 0, solver, 3) for solver in (0, 1))
    assert (first.training.steps, first.training.batch_size, first.training.optimizer.lr) == (2, 8, 0.5)
    assert (second.training.steps, second.training.batch_size, second.training.optimizer.lr) == (2, 4, 0.5)
    assert (first.evaluate.points, second.evaluate.points) == (3, 7)
    assert first.seed == 3
    tuned = cell_spec(benchmark, 0, 0, 3, {"training.optimizer.lr": 0.25, "solver.rank": 2})
    assert tuned.training.optimizer.lr == 0.25
    assert unstructure(tuned.solver)["rank"] == 2
    assert first.name == "digits-palora-seed-3"


def test_an_optimizer_of_another_name_replaces_the_whole() -> None:
    benchmark = load_benchmark(tiny(
        training={"steps": 1, "optimizer": {"name": "adam", "lr": 0.1, "amsgrad": True}},
        solvers=["palora", {"solver": "multipoint", "training": {"optimizer": {"name": "sgd", "momentum": 0.5}}}],
    ))  # fmt: skip
    assert unstructure(cell_spec(benchmark, 0, 1, 0).training.optimizer)["momentum"] == 0.5
    assert unstructure(cell_spec(benchmark, 0, 0, 0).training.optimizer)["amsgrad"] is True


def test_all_faults_at_once_with_their_places(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "problems: [digitz, {name: digits, tran: 3}]\n"
        "solvers:\n"
        "  - {solver: palora, training_: {epochs: 3}}\n"
        "  - solver: multipoint\n"
        "    training: {epoch: 3, optimizer: {lr: no}}\n"
        "seeds: [0, -1]\n"
        "tune: {grid: {trainingg.lr: [1]}}\n"
    )
    lines = faults(path)
    assert [line.split(": ")[:2] for line in lines] == [
        ["1:12", "problems.0.problem"],
        ["1:35", "problems.1.problem.tran"],
        ["3:22", "solvers.0.training_"],
        ["5:16", "solvers.1.training.epoch"],
        ["5:42", "solvers.1.training.optimizer.lr"],
        ["6:12", "seeds.1"],
        ["7:14", "tune.grid"],
    ]
    assert "did you mean 'digits'?" in lines[0]
    assert "did you mean 'epochs'?" in lines[3]


def test_faults_that_only_layers_show(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "problems: [digits]\nsolvers:\n  - {solver: palora, training: {steps: 3}}\n  - multipoint\n"
        "training: {epochs: 2}\n"
    )
    assert faults(path) == ["3:40: solvers.0.training.steps: give epochs or steps, not both"]


def test_values_of_the_grid_are_tried_on_every_solver(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "problems: [digits]\nsolvers: [palora, multipoint]\n"
        "tune:\n  grid:\n    training.optimizer.lr: [1e-3, x]\n    solver.rank: [2]\n"
    )
    first, second = faults(path)
    assert first.startswith("5:35: tune.grid.training.optimizer.lr.1: training.optimizer.lr: must be a number")
    assert second.startswith("6:19: tune.grid.solver.rank.0: solver.rank: unknown key")
    assert second.endswith("(in solvers.1)")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"problems": []}, "problems: must not be empty"),
        ({"seeds": [1, 1]}, "seeds.1: seed 1 is given twice"),
        ({"solvers": ["palora", {"name": "palora", "rank": 2}]}, "two solvers are called 'palora'; give one a label"),
        ({"solvers": [{"solver": "palora", "label": "a|b"}]}, "solvers.0.label: must be a line of text"),
        ({"solvers": [3]}, "solvers.0"),
        ({"solvers": "palora"}, "solvers: must be a list"),
        ({"tune": {"grid": {}}}, "tune.grid: must name at least one key"),
        ({"tune": {"grid": {"training.": [1]}}}, "cannot be tuned"),
        ({"tune": {"grid": {"problem.seed": [1]}}}, "a key begins with training., solver. or problem.augmentation"),
        ({"tune": {"grid": {"solver.rank": []}}}, "has no values to try"),
        ({"executor": "locl"}, "executor"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as error:
        load_benchmark(tiny(**changes))
    assert words in str(error.value)


def test_overrides_reach_into_entries() -> None:
    small = {"problems": ["digits"], "solvers": ["palora"]}
    loaded = load_benchmark(small, ["solvers.0.solver.rank=2", "solvers.0.label=low", "seeds=[5]", "training.epochs=1"])
    assert unstructure(loaded.solvers[0].solver)["rank"] == 2
    assert (loaded.solvers[0].title, loaded.seeds, loaded.training.epochs) == ("low", (5,), 1)
    assert load_benchmark(small, ["solvers=[multipoint]"]).solvers[0].title == "multipoint"


def test_extends(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("problems: [digits]\nsolvers: [palora]\ntraining: {epochs: 3}\n")
    (tmp_path / "mine.yaml").write_text("extends: base.yaml\nseeds: [4]\n")
    loaded = load_benchmark(tmp_path / "mine.yaml")
    assert (loaded.training.epochs, loaded.seeds) == (3, (4,))


def test_a_file_named_in_an_override_is_found_from_the_folder_of_the_spec(tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "mine.py").write_text(
        "from moframework.config import config\nfrom moframework.objectives.linear import Linear\n"
        "from moframework.objectives import Objective\n"
        "@config\nclass Mine(Objective):\n    def __call__(self, losses, preferences):\n        return losses.sum()\n"
    )
    path = tmp_path / "specs" / "b.yaml"
    path.write_text(
        "problems: [digits]\nsolvers: [palora]\n"
        "tune: {grid: {solver.objective: [{python: './mine.py:Mine'}, linear]}}\n"
    )
    loaded = load_benchmark(path)
    assert loaded.tune is not None
    choice = {"solver.objective": loaded.tune.grid["solver.objective"][0]}
    solver = unstructure(cell_spec(loaded, 0, 0, 0, choice).solver)
    assert solver["objective"]["python"] == f"{tmp_path / 'specs' / 'mine.py'}:Mine"


def test_bundled_benchmarks_load_and_fit_the_schema() -> None:
    schema = benchmark_schema()
    Draft7Validator.check_schema(schema)
    validator = Draft7Validator(schema)
    names = [name for name in bundled_specs() if name.startswith("benchmarks/")]
    assert {"benchmarks/digits", "benchmarks/multimnist", "benchmarks/quadratics"} <= set(names)
    for name in names:
        loaded = load_benchmark(name)
        assert load_benchmark(unstructure(loaded)) == loaded, name
        path = bundled_specs()[name]
        root, found = read_yaml(path.read_text(), Source(name, path.parent, 1))
        assert found == []
        assert root is not None
        assert [e.message for e in validator.iter_errors(plain(root))] == [], name
    assert not validator.is_valid({"problems": ["digits"], "solvers": [{"solver": "palora", "labell": "x"}]})


def test_a_seed_may_stand_in_the_options_of_a_solver() -> None:
    members = {"left": "runs/left-{seed}", "right": "runs/right-{seed}.safetensors"}
    benchmark = load_benchmark({"problems": ["digits"], "solvers": [{"name": "soup", "members": members}]})
    for seed in (0, 7):
        found = unstructure(cell_spec(benchmark, 0, 0, seed).solver)["members"]
        assert {key: Path(value).name for key, value in found.items()} == {
            "left": f"left-{seed}", "right": f"right-{seed}.safetensors"
        }  # fmt: skip


def test_problem_and_tuned_values_may_stand_there_too() -> None:
    benchmark = load_benchmark(
        {
            "problems": [{"label": "my digits", "problem": "digits"}],
            "solvers": [{"name": "soup", "members": "runs/{problem}/{training.optimizer.lr}/tuned-{seed}"}],
            "tune": {"grid": {"training.optimizer.lr": [1e-3, 0.25]}},
        }
    )
    for rate in (1e-3, 0.25):
        found = unstructure(cell_spec(benchmark, 0, 0, 3, {"training.optimizer.lr": rate}).solver)["members"]
        assert Path(found).parts[-4:] == ("runs", "my-digits", str(rate), "tuned-3")
