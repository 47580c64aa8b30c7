"""The real root class, over the parts that come with the package."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from moframework.config import unstructure
from moframework.errors import SpecError
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
