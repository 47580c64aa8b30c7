"""A run whose solver came with a package that is not installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from moframework import Run, load_spec, solve
from moframework.cli.main import main
from moframework.errors import SpecError
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
    resumed = CliRunner().invoke(main, ["solve", str(run.path), "--resume"])
    assert resumed.exit_code == 2
    assert "moframework-ranged 1.2" in " ".join(resumed.output.split())


def test_without_a_missing_package_it_is_a_plugin_of_then(done: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="It came from a plug-in that was installed when the run was made"):
        _ = Run(done).spec
    shutil.copytree(done, tmp_path / "run")
    (tmp_path / "run" / "environment.json").unlink()
    with pytest.raises(SpecError, match="a plug-in that was installed when the run was made"):
        _ = Run(tmp_path / "run").spec


def test_other_faults_of_a_stored_spec_stay_as_they_are(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path / "run")
    change_text(tmp_path / "run" / "spec.yaml", lambda text: text.replace("ranged_pamal", "pamal") + "sed: 1\n")
    with pytest.raises(SpecError, match=r"spec.yaml:\d+:1: sed: unknown key; did you mean 'seed'"):
        _ = Run(tmp_path / "run").spec
