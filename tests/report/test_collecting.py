"""What is read of runs, and what runs that do not go together are told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from moframework.errors import DamagedFileError, RunError
from moframework.report.collecting import as_plain, collect
from moframework.run.run import Run
from tests.report.runs import shown_runs
from tests.seals import change_text

__all__ = ["shown_runs"]

Runs = Mapping[str, Path]


def test_kinds_are_told_by_what_lies_between_points(shown_runs: Runs) -> None:
    shown = collect([shown_runs[name] for name in ("palora", "points", "single", "stl")])
    assert [one.kind for one in shown] == ["continuous", "finite", "single", "single_task"]
    assert [one.name for one in shown] == ["palora", "points", "single", "stl"]
    single_task, whole = shown[3].fronts["test"], Run(shown_runs["stl"]).front("test")
    assert single_task.losses.tolist() == [[whole.losses[1, 0], whole.losses[0, 1]]], "each network on its own task"


def test_data_have_every_number(shown_runs: Runs) -> None:
    data = json.loads(json.dumps(as_plain(collect([shown_runs["palora"], shown_runs["single"]])), allow_nan=False))
    assert [column["name"] for column in data["columns"]] == [
        "left/loss", "right/loss", "left/accuracy", "right/accuracy",
    ]  # fmt: skip
    run, front = data["runs"][0], Run(shown_runs["palora"]).front("val")
    assert np.allclose(np.array(run["fronts"]["val"]["values"][:2]).T, front.losses, rtol=1e-5)
    assert run["fronts"]["val"]["values"][3] == pytest.approx(front.metrics["right/accuracy"].tolist(), rel=1e-5)
    history = Run(shown_runs["palora"]).history()
    assert [epoch for epoch, _, _ in run["history"]["curve"]] == [1, 2, 3]
    assert run["history"]["fronts"][-1][1][0] == pytest.approx(
        [row[0] for row in history["validations"][-1]["losses"]], rel=1e-5
    )
    assert sum(seconds for _, seconds in run["seconds"]) > 0
    assert "problem:\n  name: digits" in run["spec"]
    assert ["solver", "palora"] in run["facts"]


def test_names_are_the_shortest_ends_that_differ(shown_runs: Runs, tmp_path: Path) -> None:
    for name in ("a/seed1", "b/seed1", "b/seed2"):
        shutil.copytree(shown_runs["single"], tmp_path / name)
    folders = [tmp_path / "a/seed1", tmp_path / "b/seed1", tmp_path / "b/seed2"]
    assert [one.name for one in collect(folders)] == ["a/seed1", "b/seed1", "b/seed2"]
    assert [one.name for one in collect([folders[0], folders[2], folders[0]])] == ["seed1", "seed2"]


def test_a_run_of_an_earlier_version_is_shown_with_notes(shown_runs: Runs, tmp_path: Path) -> None:
    old = Path(shutil.copytree(shown_runs["palora"], tmp_path / "old"))
    (old / "history.json").unlink()
    (old / "report.json").unlink()
    (run,) = as_plain(collect([old]))["runs"]
    assert run["history"] is None
    assert run["kind"] == "continuous"
    assert any("no history.json" in note for note in run["notes"])
    assert any("no report.json" in note for note in run["notes"])


def test_code_that_a_spec_names_is_not_imported(shown_runs: Runs, tmp_path: Path) -> None:
    run = Path(shutil.copytree(shown_runs["palora"], tmp_path / "own"))
    (tmp_path / "mine.py").write_text("raise AssertionError('imported')\n")
    change_text(
        run / "spec.yaml", lambda text: text.replace("  name: palora", f"  name: {{python: {tmp_path}/mine.py:A}}")
    )
    (shown,) = collect([run])
    assert (shown.kind, shown.solver) == ("continuous", "palora")


def test_what_cannot_be_shown_is_refused_in_words(shown_runs: Runs, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run was given"):
        collect([])
    with pytest.raises(RunError, match="is not a run folder"):
        collect([tmp_path])
    with pytest.raises(RunError, match="only runs of the same tasks"):
        collect([shown_runs["palora"], shown_runs["three"]])
    broken = Path(shutil.copytree(shown_runs["palora"], tmp_path / "broken"))
    (broken / "history.json").write_text("{")
    with pytest.raises(DamagedFileError, match="history"):
        as_plain(collect([broken]))
    (broken / "front-val.json").unlink()
    with pytest.raises(RunError, match="has no front of split 'val'"):
        collect([broken])
