"""`Run.export`: what a run knows of its model goes along; locks, data that is gone, statistics of one preference."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from moframework import Run, solve
from moframework.errors import DataError, RunError
from moframework.io.lock import FolderLock
from moframework.io.sealed import checksum
from moframework.run.evaluating import Trained

DIGITS: dict[str, Any] = {
    "problem": {"name": "digits", "train": 96, "val": 48, "test": 48},
    "solver": {"name": "palora", "rank": 1},
    "training": {"steps": 6, "batch_size": 32, "log_every": 50},
    "evaluate": {"points": 3, "every": 0},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return solve(DIGITS, tmp_path_factory.mktemp("export") / "run")


def card(path: Path) -> dict[str, Any]:
    return json.loads(path.with_name(f"{path.name}.card.json").read_text())  # type: ignore[no-any-return]


def test_the_card_tells_what_the_run_knows(run: Run, tmp_path: Path) -> None:
    found = run.export(tmp_path / "m.safetensors", [0.5, 0.5])
    told, front = card(found.path), run.front("test")
    assert told["preference"] == [0.5, 0.5]
    assert told["metrics"]["test"]["left/loss"] == front.losses[1, 0], "as stored"
    assert told["fronts"]["val"]["losses"] == run.front("val").losses.tolist()
    provenance = told["provenance"]
    assert (provenance["run"], provenance["problem"], provenance["solver"]) == ("run", "digits", "palora")
    assert provenance["spec_sha256"] == checksum(run.path / "spec.yaml")
    assert provenance["data"]["train"]["samples"] == 96
    assert told["sha256"] == checksum(found.path)
    text = (tmp_path / "m.safetensors.md").read_text()
    assert "Exported at the preference left 0.5, right 0.5." in text
    assert f"| left/loss | {run.front('val').losses[1, 0]:.4g} | {front.losses[1, 0]:.4g} |" in text
    prepared = json.loads((tmp_path / "m.safetensors.preparation.json").read_text())
    assert prepared["inputs"] == {"input": {"shape": [None, 1, 20, 20], "dtype": "float32"}}
    assert [answer["kind"] for answer in prepared["answers"]] == ["classes", "classes"]


def test_a_point_that_is_not_stored_is_evaluated(run: Run, tmp_path: Path) -> None:
    found = run.export(tmp_path / "m.pt2", [1, 3])
    own = run.evaluate(preferences=[[0.25, 0.75]])
    assert card(found.path)["metrics"]["test"]["right/loss"] == pytest.approx(own.losses[0, 1], rel=1e-6)
    assert card(found.path)["metrics"]["test"]["left/accuracy"] == own.metrics["left/accuracy"][0]


def test_a_run_that_is_in_use_waits(run: Run, tmp_path: Path) -> None:
    with FolderLock(run.path):
        code = f"from moframework import Run; Run({str(run.path)!r}).export({str(tmp_path / 'm.pt2')!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "is in use by process" in done.stderr
    assert list(tmp_path.iterdir()) == []
    found = run.export(run.path / "exports" / "m.safetensors")  # into its folder, which is then locked
    assert found.path.is_file()
    assert not (run.path / ".owner.json").exists()
    shutil.rmtree(run.path / "exports")


def test_data_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    lines = [f"{a:.3f},{b:.3f},{a - b:.3f},{'yes' if a > b else 'no'}" for a, b in rng.normal(size=(60, 2))]
    (tmp_path / "t.csv").write_text("a,b,difference,larger\n" + "\n".join(lines) + "\n")
    targets = {"difference": "regression", "larger": "binary"}
    one = solve(
        {**DIGITS, "problem": {"name": "csv", "path": str(tmp_path / "t.csv"), "targets": targets}}, tmp_path / "r"
    )

    def gone(*_: object) -> None:  # this process has read the table, and keeps it
        raise DataError("the table is not there")

    monkeypatch.setattr(Trained, "data", gone)
    found = one.export(tmp_path / "m.pt2", [0.3, 0.7])
    assert found.notes == ("The data of the run is not there, so nothing was evaluated anew: the table is not there",)
    assert card(found.path)["metrics"] == {}
    assert card(found.path)["fronts"]["test"]["tasks"] == ["difference", "larger"]
    reader = json.loads((tmp_path / "m.pt2.preparation.json").read_text())["reader"]
    assert reader["name"] == "table"
    assert [column["column"] for column in reader["numbers"]] == ["a", "b"]


def test_statistics_of_layers_are_those_of_the_evaluation(tmp_path: Path) -> None:
    spec = {
        **DIGITS,
        "problem": {**DIGITS["problem"], "backbone": {"python": "tests/export/networks.py:ConvNet"}},
        "solver": {"name": "pamal"},
        "evaluate": {**DIGITS["evaluate"], "batchnorm": "recalibrate", "calibration_samples": 64},
    }
    one = solve(spec, tmp_path / "run")
    found = one.export(tmp_path / "m.safetensors", [1, 0])
    assert "taken anew at this preference" in found.notes[0]
    own = one.trained().weights(torch.tensor([1.0, 0.0]))
    state = load_file(found.path)
    assert torch.equal(state["encoder.1.running_mean"], own["encoder.1.running_mean"])
    assert not torch.equal(state["encoder.1.running_mean"], one.model().skeleton.get_buffer("encoder.1.running_mean"))
    found = one.export(tmp_path / "m.pt2")
    assert "evaluate RUN --batchnorm shared` tells that" in found.notes[0]
    assert found.notes[0] in (tmp_path / "m.pt2.md").read_text()


def test_a_point_of_a_finite_set(tmp_path: Path) -> None:
    one = solve({**DIGITS, "solver": {"name": "multipoint", "points": 3}}, tmp_path / "run")
    found = one.export(tmp_path / "m.safetensors", [0.50001, 0.49999])
    assert card(found.path)["preference"] == [0.5, 0.5]
    for preference, words in (
        (None, "there is no dial"),
        ([1, 2], r"none at \(0\.3333, 0\.6667\)"),
        ([1], "2 numbers"),
    ):
        with pytest.raises(RunError, match=words):
            one.export(tmp_path / "other.pt2", preference)
    assert not list(tmp_path.glob("other*"))
