"""A run whose solver came with a package that is not installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from moframework import ParetoModel, Run, load_spec, solve
from moframework.cli.main import main
from moframework.errors import RunError, SpecError
from moframework.io.sealed import read_json
from tests.seals import change_json, change_text

SPEC = {"problem": "quadratics", "solver": "pamal", "training": {"epochs": 1}, "evaluate": {"points": 3}}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose spec names a solver that nothing has."""
    folder = solve(load_spec(SPEC), tmp_path_factory.mktemp("missing") / "run", device="cpu").path
    change_text(folder / "spec.yaml", lambda text: text.replace("name: pamal", "name: ranged_pamal"))
    return folder


def test_the_package_that_is_missing_is_told_and_not_a_name_to_change(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path / "run")
    packages = {"torch": "2.9.0", "moframework-ranged": "1.2"}
    change_json(tmp_path / "run" / "environment.json", packages=packages)
    run = Run(tmp_path / "run")
    for use in (lambda: run.spec, run.evaluate, lambda: run.export(tmp_path / "m.safetensors", [0.5, 0.5])):
        with pytest.raises(SpecError) as caught:
            use()
        (told,) = str(caught.value).splitlines()
        assert "its solver 'ranged_pamal' is not installed here" in told
        assert "environment.json has and this Python has not: moframework-ranged 1.2. Install that" in told
        assert "did you mean" not in told
    for load in (lambda: load_spec(run.path / "spec.yaml"), lambda: solve(run.path, resume=True)):
        with pytest.raises(SpecError, match="its solver 'ranged_pamal' is not installed here"):
            load()
    resumed = CliRunner().invoke(main, ["solve", str(run.path), "--resume"])
    assert resumed.exit_code == 2
    assert "moframework-ranged 1.2" in " ".join(resumed.output.split())


def test_without_a_missing_package_it_is_a_plugin_of_then(done: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="It came from a plug-in that was installed when it was made"):
        _ = Run(done).spec
    shutil.copytree(done, tmp_path / "run")
    (tmp_path / "run" / "environment.json").unlink()
    with pytest.raises(SpecError, match="a plug-in that was installed when it was made"):
        _ = Run(tmp_path / "run").spec


@pytest.mark.parametrize(
    ("part", "name", "noun"), [("weights", "convex_hull", "weight space"), ("backbone", None, "backbone")]
)
def test_a_model_says_the_same(part: str, name: str | None, noun: str, tmp_path: Path) -> None:
    folder = solve(load_spec(SPEC), tmp_path / "run", device="cpu").path
    recipe = read_json(folder / "model" / "model.json", advice="")
    assert name in (None, recipe[part]["name"])
    change_json(folder / "model" / "model.json", **{part: {**recipe[part], "name": "ranged"}})
    change_json(folder / "environment.json", packages={"moframework-ranged": "1.2"})
    for load in (ParetoModel.load, lambda path: Run(path).model()):
        with pytest.raises(RunError) as caught:
            load(folder)
        told = str(caught.value).splitlines()[0]
        assert told.startswith(f"{folder}: its {noun} 'ranged' is not installed here. It came from one of the packages")
        assert "moframework-ranged 1.2" in told
    shutil.copytree(folder / "model", tmp_path / "alone")
    with pytest.raises(RunError, match="It came from a plug-in that was installed when it was made"):
        ParetoModel.load(tmp_path / "alone")


def test_a_spec_beside_no_run_or_changed_by_hand_has_mistakes(done: Path, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("{problem: quadratics, solver: pamul}")
    with pytest.raises(SpecError, match="did you mean 'pamal'"):
        load_spec(tmp_path / "spec.yaml")
    shutil.copytree(done, tmp_path / "run")
    changed = tmp_path / "run" / "spec.yaml"
    changed.write_text(changed.read_text().replace("ranged_pamal", "pamul"))
    with pytest.raises(SpecError, match="did you mean 'pamal'"):
        load_spec(changed)


def test_other_faults_of_a_stored_spec_stay_as_they_are(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path / "run")
    change_text(tmp_path / "run" / "spec.yaml", lambda text: text.replace("ranged_pamal", "pamal") + "sed: 1\n")
    with pytest.raises(SpecError, match=r"spec.yaml:\d+:1: sed: unknown key; did you mean 'seed'"):
        _ = Run(tmp_path / "run").spec
