""".ci/check runs the tools; .ci/run, the hooks for git and the workflow name its parts and nothing beside."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CHECK = ROOT / ".ci" / "check"
COMMANDS = {
    "format": "-m ruff format --check .",
    "lint": "-m ruff check .",
    "spelling": "-m codespell_lib",
    "types": "-m mypy",
    "tests": "-m pytest",
}
TOOLS = ("ruff", "codespell", "mypy")

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="the scripts of .ci are for bash")


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """Stands for a Python: notes how it is called, and fails where the file `fails` names a word of the call."""
    script = tmp_path / "bin" / "python"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\necho "$PWD: $*" >>"{tmp_path}/calls"\n'
        f'if [ -f "{tmp_path}/fails" ]; then case "$*" in *"$(cat "{tmp_path}/fails")"*) exit 1;; esac; fi\n'
    )
    script.chmod(0o755)
    return script


def check(*parts: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    plain = {key: value for key, value in os.environ.items() if key not in ("PYTHON", "VIRTUAL_ENV")}
    return subprocess.run(
        [CHECK, *parts], cwd=cwd, env={**plain, **environment}, capture_output=True, text=True, check=False
    )


def calls(tmp_path: Path) -> list[str]:
    return [line.removeprefix(f"{ROOT}: ") for line in (tmp_path / "calls").read_text().splitlines()]


def test_all_parts_run_in_the_checkout_wherever_one_stands(tmp_path: Path, python: Path) -> None:
    done = check(cwd=tmp_path, PYTHON="bin/python")
    assert done.returncode == 0, done.stderr
    found = calls(tmp_path)  # in any order: the parts run at once
    (tests,) = set(found) - set(COMMANDS.values())
    assert sorted(found) == sorted([*list(COMMANDS.values())[:4], tests])
    assert tests.startswith("-m pytest tests/test_layers.py ")
    assert all((ROOT / file).is_file() for file in tests.split()[2:])
    headers = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("== ")]
    assert headers == [*COMMANDS, "all"]


def test_the_active_environment_is_used(tmp_path: Path, python: Path) -> None:
    assert check("lint", VIRTUAL_ENV=str(tmp_path)).returncode == 0
    assert calls(tmp_path) == [COMMANDS["lint"]]


@pytest.mark.parametrize("part", COMMANDS)
def test_a_part_that_fails_is_named_and_stops_no_other(part: str, tmp_path: Path, python: Path) -> None:
    (tmp_path / "fails").write_text(COMMANDS[part])
    done = check(PYTHON=str(python))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].endswith(f": {part}")
    assert len(calls(tmp_path)) == len(COMMANDS)


def test_an_unknown_part_is_refused(python: Path) -> None:
    done = check("lnit", PYTHON=str(python))
    assert done.returncode == 2
    assert "no part called 'lnit'; there are format, lint, spelling, types and tests" in done.stderr


def test_hooks_are_parts_of_the_check() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    repositories: list[dict[str, Any]] = yaml.safe_load(text)["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"], "nothing is downloaded"
    hooks = {hook["id"]: hook for hook in repositories[0]["hooks"]}
    assert set(hooks) == set(COMMANDS)
    for name, hook in hooks.items():
        assert hook["entry"] == f".ci/check {name}"
        assert (hook["language"], hook["pass_filenames"]) == ("system", False)
    at_commit = {name for name, hook in hooks.items() if "stages" not in hook}
    assert at_commit == {"format", "lint", "spelling"}, "a commit should not wait for types and tests"


def test_the_whole_check_uses_the_quick_one() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert ".ci/check format lint spelling types\n" in script
    for tool in TOOLS:
        assert f"/{tool}" not in script, "written once, in .ci/check"
        assert f"-m {tool}" not in script, "written once, in .ci/check"


@pytest.mark.parametrize("path", sorted((ROOT / ".ci").iterdir()), ids=lambda path: path.name)
def test_scripts_can_be_run_and_read_by_bash(path: Path) -> None:
    assert os.access(path, os.X_OK)
    done = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert path.read_text(encoding="utf-8").splitlines()[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in path.read_text(encoding="utf-8")
