"""The real root class, over the parts that come with the package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from moframework.config import unstructure
from moframework.errors import SpecError
from moframework.problem import Problem
from moframework.spec import Spec, bundled_specs, load_spec, spec_schema
from moframework.spec.marks import Source, plain
from moframework.spec.reading import read_yaml


@pytest.fixture(scope="module")
def validator() -> Draft7Validator:
    schema = spec_schema()
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def test_short_spec(tmp_path: Path, validator: Draft7Validator) -> None:
    path = tmp_path / "short.yaml"
    path.write_text("problem: digits\nsolver: palora\n")
    spec = load_spec(
        path, ["training.optimizer.lr=1e-3", "solver.rank=2", "training.scheduler={name: step, step_size: 3}"]
    )
    assert isinstance(spec, Spec)
    assert spec.name == "short"
    assert unstructure(spec)["solver"]["rank"] == 2
    expanded = tmp_path / "expanded.yaml"
    expanded.write_text(spec.to_yaml())
    assert load_spec(expanded) == spec
    assert load_spec(unstructure(spec)) == spec
    assert [e.message for e in validator.iter_errors(unstructure(spec))] == []


def test_a_benchmark_is_told_with_its_command(tmp_path: Path) -> None:
    path = tmp_path / "several.yaml"
    path.write_text("seeds: [0]\nproblems: [digits]\nsolvers: [palora]\n")
    with pytest.raises(SpecError) as error:
        load_spec(path, ["solver.rank=2"])
    assert str(error.value) == (
        f"{path}:2:1: problems: this is a benchmark, not the spec of one run; run: moframework benchmark {path}"
    )
    with pytest.raises(SpecError, match=r"^solvers: this is a benchmark, .*; load_benchmark takes it$"):
        load_spec({"solvers": ["palora"]})
    with pytest.raises(SpecError, match=r"solvers: unknown key; .*did you mean 'solver'"):
        load_spec({"problem": "digits", "solvers": "palora"})


def test_name(tmp_path: Path) -> None:
    assert load_spec({"problem": "digits", "solver": "palora"}).name is None
    path = tmp_path / "f.yaml"
    path.write_text("problem: digits\nsolver: palora\nname: given\n")
    assert load_spec(path).name == "given"


def test_bundled_specs_load_and_fit_the_schema(validator: Draft7Validator) -> None:
    assert "quickstart" in bundled_specs()
    for name, path in bundled_specs().items():
        if name.startswith(("benchmarks/", "studies/")):  # of other kinds: see test_loading.py of benchmark and tuning
            continue
        spec = load_spec(name)
        assert load_spec({**unstructure(spec)}) == spec, name
        root, faults = read_yaml(path.read_text(), Source(name, path.parent, 1))
        assert faults == []
        assert root is not None
        assert [e.message for e in validator.iter_errors(plain(root))] == [], name


def test_mistakes_of_a_real_spec(tmp_path: Path, validator: Draft7Validator) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "problem: {name: digits, train: 0}\n"
        "solver: {name: palora, conv: loralob}\n"
        "training:\n"
        "  epochs: 2\n"
        "  steps: 2\n"
        "  optimizer: {name: adam, learning_rate: 1e-3}\n"
        "evaluate: {every: 1.5}\n"
    )
    with pytest.raises(SpecError) as error:
        load_spec(path)
    lines = [line.removeprefix(f"{path}:") for line in str(error.value).splitlines()]
    assert [line.split(": ")[:2] for line in lines] == [
        ["1:32", "problem.train"],
        ["2:30", "solver.conv"],
        ["6:27", "training.optimizer.learning_rate"],
        ["7:19", "evaluate.every"],
    ]
    root, _ = read_yaml(path.read_text(), Source("f", tmp_path, 1))
    assert root is not None
    assert not validator.is_valid(plain(root))
    path.write_text("problem: digits\nsolver: palora\ntraining: {epochs: 2, steps: 2}\n")
    with pytest.raises(SpecError, match=r"bad.yaml:3:30: training.steps: give epochs or steps, not both"):
        load_spec(path)


def test_a_declared_problem(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        "problem:\n"
        "  data: {name: npz, path: samples.npz}\n"
        "  backbone: {name: mlp, hidden: [16]}\n"
        "  tasks:\n"
        "    a: {loss: mse, metrics: [mae]}\n"
        "    b: {loss: {name: huber, delta: 2}, target: a}\n"
        "solver: palora\n"
    )
    spec = load_spec(path)
    written = unstructure(spec)["problem"]
    assert "name" not in written
    assert written["data"]["path"] == str(tmp_path / "samples.npz")
    assert load_spec(unstructure(spec)).problem == spec.problem


def test_a_customized_problem() -> None:
    spec = load_spec({"problem": {"name": "digits", "backbone": {"name": "mlp"}}, "solver": "palora"})
    written = unstructure(spec)["problem"]
    assert (written["name"], written["backbone"]["name"]) == ("digits", "mlp")
    assert load_spec(unstructure(spec)) == spec


def test_what_overrides_nothing_is_the_part_itself() -> None:
    plain = load_spec({"problem": "digits", "solver": "palora"})
    empty = load_spec({"problem": {"name": "digits", "tasks": None, "backbone": None}, "solver": "palora"})
    assert empty == plain
    assert empty.to_yaml() == plain.to_yaml()


def test_faults_of_a_small_table_are_told_with_those_of_the_spec(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("size,price\n" + "".join(f"{i},{i * 2}\n" for i in range(20)))
    (tmp_path / "s.yaml").write_text(
        "problem: {name: csv, path: t.csv, targets: {prize: regression}, ignore: [sizes], reference: [1]}\n"
        "solver: {name: palora, rank: 0}\n"
    )
    with pytest.raises(SpecError) as caught:
        load_spec(tmp_path / "s.yaml")
    first, second, third = str(caught.value).splitlines()
    assert re.search(r"s.yaml:1:\d+: problem: ", first)
    assert "has no column 'prize', which `targets` names; did you mean 'price'?" in first
    assert "has no column 'sizes'" in second
    assert re.search(r"s.yaml:2:\d+: solver.rank: must be at least 1", third)


def test_data_is_not_looked_at_without_another_fault_nor_where_that_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.csv").write_text("size,price\n1,2\n")
    problem = {"name": "csv", "path": str(tmp_path / "t.csv"), "targets": {"prize": "regression"}}
    assert load_spec({"problem": problem, "solver": "palora"}).solver
    wrong = {"problem": problem, "solver": {"name": "palora", "rank": 0}}
    with pytest.raises(SpecError, match="prize"):
        load_spec(wrong)
    monkeypatch.setattr("moframework.problems.csv._SOON_READ", 3)
    with pytest.raises(SpecError) as caught:
        load_spec(wrong)
    assert "prize" not in str(caught.value)


def test_a_problem_that_fails_then_is_told_when_its_data_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Problem) -> list[str]:
        raise ZeroDivisionError

    monkeypatch.setattr(Problem, "early_faults", broken)
    with pytest.raises(SpecError) as caught:
        load_spec({"problem": "digits", "solver": {"name": "palora", "rank": 0}})
    assert str(caught.value).startswith("solver.rank")
