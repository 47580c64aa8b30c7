from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import attrs
import pytest

from moframework.benchmark.cells import Cell
from moframework.benchmark.executor import Executor, Job, Outcome
from moframework.benchmark.loading import load_benchmark
from moframework.benchmark.results import Results
from moframework.benchmark.running import Watcher, default_folder, run_benchmark
from moframework.config import config
from moframework.errors import InterruptedRun, SpecError
from moframework.run.run import Run
from tests.benchmark.conftest import TUNE
from tests.benchmark.parts import tiny
from tests.schemas.validation import wrong
from tests.seals import change_json


@pytest.fixture
def copy(finished: tuple[Results, Path], tmp_path: Path) -> Path:
    """The folder of a finished benchmark, to be changed."""
    shutil.copytree(finished[1], tmp_path / "copy")
    return tmp_path / "copy"


class Notes(Watcher):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.rounds: list[tuple[int, int]] = []
        self.starts: list[str] = []
        self.ends: list[str] = []

    def planned(self, jobs: int, done: int) -> None:
        self.rounds.append((jobs, done))

    def started(self, cell: Cell) -> None:
        self.starts.append(cell.name)

    def ended(self, cell: Cell, seconds: float) -> None:
        self.ends.append(cell.state)


def test_a_finished_benchmark_runs_nothing_again(copy: Path) -> None:
    before = {name: (copy / name).read_text() for name in ("results.csv", "benchmark.yaml")}
    notes = Notes()
    run_benchmark(load_benchmark(tiny(tune=TUNE)), copy, watcher=notes)
    assert notes.rounds == [(4, 4), (4, 4)]
    assert notes.starts == []
    assert {name: (copy / name).read_text() for name in before} == before


def test_runs_of_tuning_serve_as_cells(finished: tuple[Results, Path]) -> None:
    results, folder = finished
    # 2 solvers × 2 values for seed 0, of which 2 are the chosen ones, and 2 more for seed 1.
    assert len(list(folder.glob("cells/*/*/*/status.json"))) == 6
    for row in results.groups[0].rows:
        assert row.tuned is not None
        assert row.tuned.choice is not None
        volumes = {trial.choice["training.optimizer.lr"]: trial.hypervolume for trial in row.tuned.trials}
        assert set(volumes) == {1e-3, 1e-2}
        chosen = row.tuned.choice["training.optimizer.lr"]
        assert volumes[chosen] == max(value for value in volumes.values() if value is not None)
        assert [one.cell.spec.training.optimizer.lr for one in row.cells] == [chosen, chosen]
        assert row.tuned.at_edge == ("training.optimizer.lr",)


def test_only_what_is_new_runs(copy: Path) -> None:
    notes = Notes()
    run_benchmark(load_benchmark(tiny(tune=TUNE, seeds=[0, 1, 7])), copy, watcher=notes)
    assert notes.rounds == [(4, 4), (6, 4)]
    assert [name.split(", ")[:3] for name in notes.starts] == [
        ["small", "adapters", "seed 7"],
        ["small", "networks", "seed 7"],
    ]


def test_an_unfinished_cell_is_resumed(copy: Path) -> None:
    one = sorted(copy.glob("cells/*/palora/seed-1-*/status.json"))[0]
    (one.parent / "front-test.json").unlink()
    one.write_text('{"status": "interrupted"}')
    checkpoint = (one.parent / "checkpoints" / "last.pt").stat().st_mtime_ns
    notes = Notes()
    run_benchmark(load_benchmark(tiny(tune=TUNE)), copy, watcher=notes)
    assert notes.rounds == [(4, 4), (4, 3)]
    assert (one.parent / "checkpoints" / "last.pt").stat().st_mtime_ns == checkpoint, "nothing was trained again"
    assert (one.parent / "front-test.json").is_file()


def test_a_cell_of_a_newer_version_is_refused_and_stops_nothing(copy: Path) -> None:
    one = sorted(copy.glob("cells/*/palora/seed-1-*/front-val.json"))[0]
    change_json(one, format=3)
    before, notes = one.read_bytes(), Notes()
    results = run_benchmark(load_benchmark(tiny(tune=TUNE)), copy, watcher=notes)
    assert notes.ends == ["failed"]
    (failure,) = results.failed
    assert failure.endswith("front-val.json has format 3; this version reads up to 2. Update moframework.")
    assert one.read_bytes() == before


def test_failures_are_recorded_and_stop_nothing(tmp_path: Path) -> None:
    broken = {"solver": {"name": "multipoint", "points": 2}, "training": {"optimizer": {"name": "sgd", "lr": 1e30}}}
    spec = tiny(solvers=[broken, "palora"], seeds=[0], training={"steps": 3, "batch_size": 16, "log_every": 1})
    notes = Notes()
    results = run_benchmark(load_benchmark(spec), tmp_path, watcher=notes)
    assert notes.ends == ["failed", "done"]
    (failure,) = results.failed
    assert failure.startswith("small, multipoint, seed 0: Error: step 2: the loss of task")
    table = (tmp_path / "results.md").read_text()
    assert "| multipoint | 0 of 1 | – |" in table
    assert "## What failed" in table
    assert json.loads((tmp_path / "results.json").read_text())["cells"][0]["state"] == "failed"
    assert wrong(tmp_path) == [], "whatever its state"
    again = Notes()
    run_benchmark(load_benchmark(spec), tmp_path, watcher=again)
    assert again.rounds == [(2, 1)], "a failed cell is tried again, a finished one is not"


@config
class Late(Executor):
    """Ends each job before it begins."""

    def run(
        self, jobs: Sequence[Job], *, started: Callable[[Job], None], stop: Callable[[], bool]
    ) -> Generator[Outcome, None, None]:
        for job in jobs:
            yield Outcome(job=job, code=130, seconds=12.0, late=True)


def test_a_cell_that_took_too_long_has_failed(tmp_path: Path) -> None:
    results = run_benchmark(attrs.evolve(load_benchmark(tiny()), executor=Late()), tmp_path)
    assert results.failed
    assert all("ended after 12 s" in text and "executor.limit=SECONDS" in text for text in results.failed)


def test_an_impossible_pair_is_a_failed_cell(tmp_path: Path) -> None:
    spec = tiny(solvers=["palora"], seeds=[0], evaluate={"reference": [1, 1, 1]})
    results = run_benchmark(load_benchmark(spec), tmp_path)
    (failure,) = results.failed
    assert "evaluate.reference: has 3 numbers" in failure
    assert not (tmp_path / "fronts-small.png").exists()


def test_when_the_whole_grid_fails_the_row_says_so(tmp_path: Path) -> None:
    grid = {"training.optimizer": [{"name": "sgd", "lr": 1e30}]}
    training = {"steps": 3, "batch_size": 16, "log_every": 1}
    spec = tiny(solvers=["palora"], tune={"grid": grid}, training=training)
    results = run_benchmark(load_benchmark(spec), tmp_path)
    (failure,) = results.failed
    assert "small, palora: every run of the grid failed" in failure
    assert results.cells == ()


def test_a_stopped_benchmark_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tiny(solvers=["palora"])
    notes = Notes()

    def stop_after_the_first(self: Notes, cell: Cell, seconds: float) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Notes, "ended", stop_after_the_first)
    with pytest.raises(InterruptedRun, match=r"1 of 2 cells of this round are done\. The same command goes on"):
        run_benchmark(load_benchmark(spec), tmp_path, watcher=notes)
    assert not (tmp_path / "results.md").exists()
    partial = run_benchmark(load_benchmark(spec), tmp_path, report_only=True)
    assert [one.state for one in partial.cells] == ["done", "missing"]
    assert "| palora | 1 of 2 |" in (tmp_path / "results.md").read_text()
    monkeypatch.undo()
    whole = run_benchmark(load_benchmark(spec), tmp_path)
    assert [one.state for one in whole.cells] == ["done", "done"]


def test_report_of_nothing(tmp_path: Path) -> None:
    results = run_benchmark(load_benchmark(tiny(tune=TUNE)), tmp_path, report_only=True)
    assert results.cells == ()
    assert [row.message for row in results.groups[0].rows] == ["the runs that tune it are not finished"] * 2
    assert results.failed == ()
    assert not list(tmp_path.glob("*.png"))


def test_entries_of_one_spec_share_a_run(tmp_path: Path) -> None:
    twice = [{"solver": "palora", "label": "a"}, {"solver": "palora", "label": "b"}]
    notes = Notes()
    results = run_benchmark(load_benchmark(tiny(solvers=twice, seeds=[0])), tmp_path, watcher=notes)
    assert notes.rounds == [(1, 0)]
    assert [row.solver for row in results.groups[0].rows] == ["a", "b"]
    assert len(results.groups[0].rows[1].done) == 1


def test_tuning_by_a_hypervolume_that_is_not_there(copy: Path) -> None:
    with pytest.raises(SpecError, match=r"tune\.by: small has no hypervolume 'f1'; it has: losses, accuracy"):
        run_benchmark(load_benchmark(tiny(tune={**TUNE, "by": "f1"})), copy, report_only=True)


def test_default_folder() -> None:
    assert default_folder(load_benchmark(tiny())) == Path("runs/benchmark-tiny")


def test_a_killed_benchmark_leaves_no_children_and_goes_on(tmp_path: Path) -> None:
    training = {"steps": 100_000, "batch_size": 16, "checkpoint_every": 20}
    spec = tiny(solvers=["palora"], seeds=[0], training=training, executor="local")
    (tmp_path / "long.yaml").write_text(json.dumps(spec))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "moframework", "benchmark", str(tmp_path / "long.yaml"), "--out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: any(out.rglob("last.pt")))
        (owner,) = out.rglob(".owner.json")
        child = json.loads(owner.read_text())["pid"]
        process.kill()
    wait_for(functools.partial(is_gone, child))
    run = Run(owner.parent)
    assert run.status == "interrupted"
    assert "as asked; everything is saved" in run.summary()["message"]


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").is_file() and ") Z " in Path(f"/proc/{pid}/stat").read_text()
