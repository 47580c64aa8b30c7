from __future__ import annotations

import json
import os
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
import torch

from moframework.run.environment import environment


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_is_plain_data() -> None:
    found = environment()
    assert json.loads(json.dumps(found)) == found
    parts = {"time", "command", "python", "platform", "packages", "torch", "distributed", "variables", "git"}
    assert set(found) == parts
    assert found["distributed"] == {"world_size": 1, "backend": None}
    assert datetime.fromisoformat(found["time"]).tzinfo is not None


def test_versions_of_what_results_depend_on() -> None:
    found = environment()
    packages = found["packages"]
    assert found["torch"]["version"] == torch.__version__
    assert {"moframework", "torch", "numpy", "scipy", "moocore", "attrs"} <= set(packages)
    assert "ruff" not in packages, "development tools do not change a result"


def test_threads_and_devices() -> None:
    found = environment()
    assert found["torch"]["threads"] == torch.get_num_threads()
    assert len(found["torch"]["devices"]) == torch.cuda.device_count()
    assert found["platform"]["cpus"] == os.cpu_count()


def test_command_line_without_the_folder_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/home/someone/bin/moframework", "solve", "spec.yaml", "--set", "seed=1"])
    assert environment()["command"] == ["moframework", "solve", "spec.yaml", "--set", "seed=1"]


def test_only_harmless_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "hunter2-very-secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = environment()
    assert found["variables"]["OMP_NUM_THREADS"] == "1"
    assert "hunter2" not in json.dumps(found)


def test_commit_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "spec.yaml").write_text("seed: 0\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    git(tmp_path, "remote", "add", "origin", "https://user:token123@example.org/x.git")
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    found = environment()
    assert found["git"] == {"commit": git(tmp_path, "rev-parse", "HEAD"), "dirty": False}
    assert "token123" not in json.dumps(found)
    (tmp_path / "spec.yaml").write_text("seed: 1\n")
    assert environment()["git"]["dirty"] is True


def test_outside_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert environment()["git"] is None


def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment()["git"] is None
