"""The validation fronts of a training: which are kept, how many, and that a resumed run has the same."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moframework import Run, solve
from moframework.engine.checkpoint import LAST, read_checkpoint, write_checkpoint
from moframework.engine.events import Observer, Progress
from moframework.errors import InterruptedRun
from moframework.pareto.front import Front
from moframework.run.history import MOST_NUMBERS, MOST_VALIDATIONS, History
from tests.schemas.validation import faults
from tests.seals import change_json

SPEC: dict[str, Any] = {
    "problem": {"name": "digits", "train": 128, "val": 32, "test": 32},
    "solver": {"name": "palora", "rank": 1},
    "training": {"epochs": 4, "batch_size": 32},
    "evaluate": {"points": 3, "checkpoint": "last"},
}


class Watching(Observer):
    """Keeps what validations found, and stops after a step."""

    def __init__(self, stop: int = -1) -> None:
        self.seen: list[tuple[Progress, Front, float]] = []
        self.stop = stop

    def stepped(self, progress: Progress) -> None:
        if progress.step == self.stop:
            signal.raise_signal(signal.SIGTERM)

    def evaluated(self, progress: Progress, front: Front, *, hypervolume: float, is_best: bool) -> None:
        self.seen.append((progress, front, hypervolume))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Watching]:
    """A finished run, and what its validations found; do not change it."""
    watching = Watching()
    return solve(SPEC, tmp_path_factory.mktemp("history") / "run", device="cpu", observers=[watching]), watching


def test_every_validation_is_there_as_it_was(watched: tuple[Run, Watching]) -> None:
    run, watching = watched
    found = run.history()
    assert (found["complete"], found["count"], found["every"], len(watching.seen)) == (True, 4, 1, 4)
    assert found["preferences"] == run.front("val").preferences.tolist()
    for one, (progress, front, hypervolume) in zip(found["validations"], watching.seen, strict=True):
        assert (one["step"], one["epoch"]) == (progress.step, progress.epoch)
        assert np.allclose(one["losses"], front.losses, rtol=1e-6)
        assert list(one["metrics"]) == list(front.metrics)
        assert np.allclose(one["metrics"]["right/accuracy"], front.metrics["right/accuracy"], rtol=1e-6)
        assert one["hypervolumes"]["losses"] == pytest.approx(hypervolume, rel=1e-5)
        assert one["hypervolumes"]["accuracy"] == pytest.approx(front.hypervolumes()["accuracy"]["value"], rel=1e-5)
    best = max(watching.seen, key=lambda seen: seen[2])[0].step
    assert [one["step"] for one in found["validations"] if one["best"]] == [best]
    assert np.allclose(found["validations"][-1]["losses"], run.front("val").losses, rtol=1e-6)


def test_a_run_that_was_stopped_and_resumed_has_the_same_bytes(watched: tuple[Run, Watching], tmp_path: Path) -> None:
    for stop in (6, 11):
        with pytest.raises(InterruptedRun):
            solve(SPEC, tmp_path / "run", device="cpu", resume=stop > 6, observers=[Watching(stop)])
        assert Run(tmp_path / "run").history() == {}, "written with the results"
    resumed = solve(tmp_path / "run", resume=True, device="cpu")
    assert (resumed.path / "history.json").read_bytes() == (watched[0].path / "history.json").read_bytes()


def test_the_report_says_when_validations_came(watched: tuple[Run, Watching], tmp_path: Path) -> None:
    """In steps of training alone; a resumed run goes on where its checkpoint was."""
    for stop in (6, None):
        if stop is not None:
            with pytest.raises(InterruptedRun):
                solve(SPEC, tmp_path / "run", device="cpu", observers=[Watching(stop)])
        run = solve(tmp_path / "run", resume=True, device="cpu") if stop is None else watched[0]
        times = run.report()["time"]["validations"]
        assert [one["step"] for one in times] == [one["step"] for one in run.history()["validations"]]
        for key in ("training_seconds", "processor_seconds"):
            spent = [one[key] for one in times]
            assert 0 < spent[0] < spent[1] < spent[2] < spent[3] == pytest.approx(run.summary()[key], abs=0.002)


def test_times_that_a_checkpoint_does_not_carry_are_not_known(watched: tuple[Run, Watching]) -> None:
    front = watched[0].front("val")
    history, after = History(), History()
    history.evaluated(Progress(step=5, steps=10, epoch=1, epochs=2, seconds=1.5), front, hypervolume=0, is_best=True)
    state = history.state()
    state["when"] = [row[:3] for row in state["when"]]  # as earlier versions
    after.load(state, 5)
    assert after.times() == [{"step": 5, "training_seconds": None, "processor_seconds": None}]
    assert history.times() == [{"step": 5, "training_seconds": 1.5, "processor_seconds": 0.0}]


def test_a_damaged_history_is_made_anew(watched: tuple[Run, Watching], tmp_path: Path) -> None:
    run = Path(shutil.copytree(watched[0].path, tmp_path / "run"))
    whole = (run / "history.json").read_bytes()
    (run / "history.json").write_bytes(whole[:-200])
    assert any("history.json" in fault for fault in Run(run).damaged())
    solve(run, resume=True, device="cpu")
    assert (run / "history.json").read_bytes() == whole
    assert Run(run).damaged() == []


def test_a_run_of_an_earlier_version_goes_on_without_its_past(watched: tuple[Run, Watching], tmp_path: Path) -> None:
    run = Path(shutil.copytree(watched[0].path, tmp_path / "run"))
    (run / "history.json").unlink()
    assert Run(run).history() == {}
    assert Run(run).damaged() == [], "it never had one"
    state = read_checkpoint(run / "checkpoints" / LAST)
    del state["history"]
    write_checkpoint(run / "checkpoints" / LAST, state)
    change_json(run / "status.json", status="failed", message="x")
    longer = solve({**SPEC, "training": {"epochs": 6, "batch_size": 32}}, run, resume=True, device="cpu")
    found = longer.history()
    assert (found["complete"], found["count"]) == (False, 2)
    assert [one["epoch"] for one in found["validations"]] == [5, 6]
    assert faults("history", json.loads((run / "history.json").read_text())) == []


def kept_of(count: int, front: Front, best: int) -> tuple[History, History]:
    """A history of so many validations, and one that was carried by a checkpoint after each seventh."""
    one, other = History(), History()
    for index in range(count):
        progress = Progress(step=10 * (index + 1), steps=10 * count, epoch=index + 1.0, epochs=count)
        for history in (one, other):
            history.evaluated(progress, front, hypervolume=0.5, is_best=index <= best)
        if index % 7 == 0:
            state, other = other.state(), History()
            other.load(state, progress.step)
    return one, other


@pytest.mark.parametrize(("count", "points"), [(0, 3), (1, 3), (200, 3), (1000, 3), (10_000, 3), (90, 5000)])
def test_what_is_kept_is_bounded_and_has_the_first_the_best_and_the_last(
    tmp_path: Path, count: int, points: int
) -> None:
    weights = np.linspace(0, 1, points)
    losses = np.stack([1 - weights, weights], axis=1)
    front = Front(
        tasks=("a", "b"), preferences=losses[:, ::-1], losses=losses, reference=(2, 2), split="val",
        metrics={"a/m": np.where(weights > 0.5, np.nan, weights)}, higher_is_better={"a/m": True},
    )  # fmt: skip
    best = min(37, count - 1)
    for name, history in zip(("one", "other"), kept_of(count, front, best), strict=True):
        history.write(tmp_path / name, front)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    found = json.loads((tmp_path / "one").read_text())
    assert faults("history", found) == []
    steps = [one["step"] for one in found["validations"]]
    most = min(MOST_VALIDATIONS, MOST_NUMBERS // (3 * points))
    assert min(count, most // 2) <= len(steps) <= most
    assert found["count"] == count
    if count:
        assert {10, 10 * (best + 1), 10 * count} <= set(steps)
        assert steps == sorted(set(steps))
        assert [one["step"] for one in found["validations"] if one["best"]] == [10 * (best + 1)]
    assert (tmp_path / "one").stat().st_size < 3_000_000


def test_what_a_checkpoint_carries_is_read_without_executing_anything(tmp_path: Path) -> None:
    front = Front(tasks=("a", "b"), preferences=[[0, 1]], losses=[[1, 0.5]], reference=(2, 2), split="val")
    torch.save(kept_of(5, front, 2)[0].state(), tmp_path / "state.pt")
    again = History()
    again.load(torch.load(tmp_path / "state.pt", weights_only=True), 50)
    again.write(tmp_path / "history.json", front)
    assert len(json.loads((tmp_path / "history.json").read_text())["validations"]) == 5
