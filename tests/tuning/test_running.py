from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from moframework.benchmark.loading import cell_spec, load_benchmark
from moframework.config import unstructure
from moframework.errors import InterruptedRun, RunError, SpecError
from moframework.run.run import Run
from moframework.run.solving import solve
from moframework.tuning import saving, solving
from moframework.tuning.processes import Begin
from moframework.tuning.results import StudyResults
from moframework.tuning.running import default_folder, tune
from moframework.tuning.solving import trial_folder
from tests.tuning.parts import LR, PRUNING, KilledError, Over, contest, facts, here, study, tiny
from tests.tuning.test_loading import ADAPTERS, SMALL


def test_every_trial_is_counted_and_shown(finished: StudyResults) -> None:
    assert finished.counts == {"done": 2, "pruned": 3, "failed": 2, "nonfinite": 1}
    assert [one.number for one in finished.trials] == list(range(8))
    page = (finished.folder / "results.md").read_text()
    assert "8 trials (2 done, 2 failed, 1 not finite, 3 pruned) of at most 8 trials" in page
    for one in finished.trials:
        assert (one.message is None) == (one.state == "done")
        assert one.message is None or one.message in page
    failed = [one for one in finished.trials if one.state == "failed"]
    assert all(one.choice["training.accumulate"] == 2 and one.choice["training.recompute"] for one in failed)
    assert {one.state for one in finished.trials if one.seconds > 0} == {"done", "pruned", "nonfinite"}


def test_the_first_trial_has_the_own_values_and_the_best_is_the_best(finished: StudyResults) -> None:
    own = finished.trials[0]
    assert (own.is_own, own.choice[LR], own.choice["solver.rank"]) == (True, 0.01, 1)
    assert finished.own == own
    assert finished.best is not None
    assert finished.best.hypervolume == max(one.hypervolume or 0 for one in finished.trials)


def test_printed_results_are_short(finished: StudyResults) -> None:
    assert repr(finished) == f"StudyResults(study={finished.study.name!r}, trials=8, done=2)"
    assert finished.best is not None
    said = str(finished).splitlines()
    assert said[1] == f"  best: trial {finished.best.number}, validation hypervolume {finished.best.hypervolume:.4f}"
    assert f"  {LR}: {finished.best.choice[LR]}" in said
    assert len(said) == 2 + len(finished.best.choice)


def interrupted(at: int, *, killed: bool) -> Any:
    """Workers of a study that is killed after the first epoch of a trial, or is asked to stop with its trial."""

    @contextlib.contextmanager
    def workers(jobs: int, trust: bool) -> Iterator[Begin]:
        with here(jobs, trust) as begin:

            def begin_or_stop(folder: Path) -> Any:
                if int(folder.name) != at:
                    return begin(folder)
                if killed:
                    solving._Validations.saved = _kill  # type: ignore[method-assign]
                    begin(folder)
                os.kill(os.getpid(), signal.SIGTERM)
                return Over(130)

            yield begin_or_stop

    return workers


def _kill(*_: object) -> None:
    raise KilledError


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pictures, which take longer than a trial here; see test_saving.py."""
    monkeypatch.setattr(saving, "draw", lambda results: None)


def test_a_study_that_is_killed_and_stopped_has_the_same_trials_bit_by_bit_whatever_the_test_data(
    finished: StudyResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = attrs.evolve(study(pruning=PRUNING), problem=attrs.evolve(study().problem, test=7))  # type: ignore[arg-type]
    assert other.problem != finished.study.problem
    monkeypatch.setattr(solving._Validations, "saved", solving._Validations.saved)  # what is set below is undone
    with pytest.raises(KilledError):
        tune(other, tmp_path / "s", workers=interrupted(1, killed=True))
    monkeypatch.undo()
    monkeypatch.setattr(saving, "draw", lambda results: None)
    assert not (tmp_path / "s" / "results.md").exists()
    assert (trial_folder(tmp_path / "s", 1) / "checkpoints").is_dir()
    with pytest.raises(InterruptedRun, match=r"stopped: 2 of 8 trials of .* The same command goes on"):
        tune(other, tmp_path / "s", workers=interrupted(2, killed=False))
    page = (tmp_path / "s" / "results.md").read_text()
    assert "3 trials (2 done, 1 unfinished)" in page
    found = tune(other, tmp_path / "s", workers=here)
    assert facts(list(found.trials)) == facts(list(finished.trials))
    assert Run(trial_folder(tmp_path / "s", 0)).front("test") != Run(trial_folder(finished.folder, 0)).front("test")


def test_the_test_front_is_not_read(finished: StudyResults, tmp_path: Path) -> None:
    folder = tmp_path / "0000"
    shutil.copytree(trial_folder(finished.folder, 0), folder)
    (folder / "front-test.json").unlink()
    value = solving.ended(folder, {}, finished.study.solver, "losses", 0, "").hypervolume
    assert value == finished.trials[0].hypervolume
    with pytest.raises(ValueError, match="a front on validation decides, but this one is on test"):
        solving.decisive_hypervolume(Run(trial_folder(finished.folder, 0)).front("test"), study().solver, "losses")


def test_the_best_spec_reaches_what_its_trial_did(finished: StudyResults, tmp_path: Path) -> None:
    run = solve(finished.folder / "best.yaml", tmp_path / "best")
    assert finished.best is not None
    assert run.front("val").hypervolume() == finished.best.hypervolume
    assert run.spec.solver.rank == finished.best.choice["solver.rank"]  # type: ignore[attr-defined]


def test_a_finished_study_goes_on_with_a_larger_budget_alone(finished: StudyResults, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(finished.folder, folder)
    begun: list[Path] = []

    @contextlib.contextmanager
    def counting(jobs: int, trust: bool) -> Iterator[Begin]:
        def begin(place: Path) -> Over:
            begun.append(place)
            return Over(-signal.SIGKILL)

        yield begin

    tune(study(pruning=PRUNING), folder, workers=counting)
    assert begun == []
    for budget in ({"processor_seconds": 0.1}, {"seconds": 0.01}):
        tune(study(pruning=PRUNING, trials=20, **budget), folder, workers=counting)
    assert begun == []
    found = tune(study(pruning=PRUNING, trials=12), folder, workers=counting)
    assert len(found.trials) == 12
    killed = [one for one in found.trials[8:] if one.message and "SIGKILL" in one.message]
    assert len(killed) == len(begun) > 0
    assert killed[0].message == "killed by SIGKILL, perhaps for want of memory"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 1}, "tune.seed: 0 → 1"),
        ({"ranges": {LR: {"log": [1e-3, 1]}}}, "tune.ranges"),
    ],
)
def test_another_study_needs_another_folder(finished: StudyResults, changes: dict[str, Any], words: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.folder.glob("*.*")}
    with pytest.raises(RunError, match="holds a study of another spec") as error:
        tune(study(pruning=PRUNING, **changes), finished.folder, workers=here)
    assert words in str(error.value)
    assert {path: path.stat().st_mtime_ns for path in finished.folder.glob("*.*")} == before


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RunError, match="exists, is not empty, and holds no study"):
        tune(study(), tmp_path, workers=here)


@pytest.mark.parametrize(
    ("tune_", "others", "words"),
    [
        ({"by": "recall"}, {}, "tune.by: there is no hypervolume 'recall'; allowed: losses, accuracy"),
        (
            {"pruning": {}, "ranges": {LR: {"log": [1e-3, 1]}}},
            {"training": {"steps": 2, "batch_size": 32}},
            "tune.pruning: there are no validations to prune by: a trial has 2 steps, an epoch 2",
        ),
        ({}, {"evaluate": {"points": 3, "reference": [3, 3, 3]}}, "reference"),
    ],
)
def test_what_is_wrong_is_told_before_the_first_trial(
    tmp_path: Path, tune_: dict[str, Any], others: dict[str, Any], words: str
) -> None:
    from moframework.tuning.loading import load_study

    with pytest.raises(SpecError) as error:
        tune(load_study(tiny(**tune_) | others), tmp_path / "s", workers=here)  # type: ignore[call-overload]
    assert words in str(error.value)
    assert not (tmp_path / "s").exists()


def test_contenders_have_the_same_budget_and_the_best_of_each_is_a_benchmark(tmp_path: Path) -> None:
    made = contest(
        {
            "name": "both",
            "problems": [{"problem": SMALL, "label": "small"}],
            "solvers": [ADAPTERS, {"solver": {"name": "multipoint", "points": 2}, "training": {"batch_size": 16}}],
            "training": {"steps": 2, "batch_size": 32},
            "evaluate": {"points": 3, "every": 0, "reference": [3, 3]},
            "seeds": [5, 6],
            "tune": {
                "trials": 1,
                "ranges": {LR: {"log": [1e-4, 1e-2]}},
                "contenders": {"adapters": {"solver.rank": {"integers": [1, 4]}}},
            },
        }
    )
    found = tune(made, tmp_path, workers=here)
    assert [len(one.trials) for one in found.studies.values()] == [1, 1]
    best = load_benchmark(tmp_path / "best.yaml")
    assert (best.tune, best.seeds, best.name) == (None, (5, 6), "both-best")
    for place in (0, 1):
        results = found.studies[0, place]
        assert results.best is not None
        run = Run(trial_folder(results.folder, results.best.number))
        one, other = unstructure(cell_spec(best, 0, place, 5)), unstructure(run.spec)
        assert {key for key in one if one[key] != other[key]} <= {"name"}
        assert results.best.choice[LR] == one["training"]["optimizer"]["lr"]
    page = (tmp_path / "results.md").read_text()
    assert "Every contender has 1 trial on each problem, with seed 5." in page
    assert "[small/multipoint/results.md](<small/multipoint/results.md>)" in page


def test_default_folder() -> None:
    assert default_folder(study()) == Path("runs/tune-tiny")
