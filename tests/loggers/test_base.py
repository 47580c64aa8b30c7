from __future__ import annotations

from pathlib import Path

import pytest

from moframework import Run, SpecError, check, load_spec, solve
from moframework.config import config
from moframework.config.options import OptionError
from moframework.engine.events import Progress
from moframework.loggers import Log, LoggedRun, Logger, Results
from moframework.loggers.base import needs
from moframework.loggers.tensorboard import TensorBoard

SPEC = {
    "problem": {"name": "digits", "train": 64, "val": 32, "test": 32},
    "solver": {"name": "palora", "rank": 1},
    "training": {"steps": 4, "batch_size": 16, "log_every": 2},
    "evaluate": {"points": 2},
}


@config
class Recording(Logger):
    """Keeps what it hears in a file of the run, or fails."""

    def log(self, run: LoggedRun) -> Log:
        return _Recorded(run)


class _Recorded(Log):
    def __init__(self, run: LoggedRun) -> None:
        self.run = run

    def _write(self, words: str) -> None:
        with (self.run.folder / "heard.txt").open("a") as file:
            file.write(f"{words}\n")

    def started(self, progress: Progress) -> None:
        self._write(
            f"{self.run.name} {self.run.spec['solver']['name']} from {progress.step}, {self.run.remembered('x')}"
        )
        self.run.remember("x", "again")

    def ended(self, results: Results) -> None:
        assert (self.run.folder / "front.png").is_file()
        assert results.facts["steps"] == 4
        self._write(f"{sorted(results.fronts)} {type(results.model).__name__}")

    def close(self, error: BaseException | None = None) -> None:
        self._write(f"closed {error}")


@config
class Failing(Logger):
    """A server that is down."""

    def log(self, run: LoggedRun) -> Log:
        return _Fails()


class _Fails(Log):
    def started(self, progress: Progress) -> None:
        raise ConnectionError("no server")


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Run:
    spec = {**SPEC, "log": [Recording(), Failing(), TensorBoard()], "name": "tried"}
    return solve(spec, tmp_path_factory.mktemp("loggers") / "run")


def test_a_logger_is_told_all_of_a_run(logged: Run) -> None:
    heard = (logged.path / "heard.txt").read_text().splitlines()
    assert heard == ["tried palora from 0, None", "['test', 'val'] ParetoModel", "closed None"]


def test_a_logger_that_fails_ends_no_training(logged: Run) -> None:
    assert logged.status == "done"
    text = (logged.path / "log.txt").read_text()
    assert text.count("failed (ConnectionError: no server); training goes on") == 1
    assert "ConnectionError: no server" in (logged.path / "report.txt").read_text(), "a note of the report"
    assert list((logged.path / "events").glob("events.out.tfevents.*")), "the others are told all the same"


def test_loggers_change_no_result_and_may_change_when_a_run_is_resumed(logged: Run, tmp_path: Path) -> None:
    without = solve({**SPEC, "log": []}, tmp_path / "run")
    assert not (without.path / "events").exists()
    assert without.front() == logged.front()
    longer = {**SPEC, "training": {**SPEC["training"], "steps": 6}, "log": "tensorboard"}  # type: ignore[dict-item]
    solve(longer, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "events").is_dir()
    assert Run(tmp_path / "run").spec.loggers == (TensorBoard(),)


def test_by_default_tensorboard_logs() -> None:
    assert load_spec(SPEC).loggers == (TensorBoard(),)
    assert load_spec({**SPEC, "log": "tensorboard"}).loggers == (TensorBoard(),)
    assert load_spec({**SPEC, "log": []}).loggers == ()


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (["tensorbord"], "log.0: no logger called 'tensorbord'.*did you mean 'tensorboard'"),
        (["tensorboard", "tensorboard"], "log: names a logger twice"),
        ([{"name": "mlflow", "url": "x"}], "log.0.url: unknown key.*did you mean 'uri'"),
    ],
)
def test_wrong_loggers_are_refused(log: list[object], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        load_spec({**SPEC, "log": log})


def test_a_missing_package_is_named_before_training_and_the_spec_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moframework.loggers.base.find_spec", lambda name: None)
    spec = load_spec({**SPEC, "log": ["mlflow"]})
    with pytest.raises(SpecError, match=r"log: .*mlflow, which is not installed: pip install 'moframework\[mlflow\]'"):
        check(spec)


def test_needs() -> None:
    needs("torch", "x", "it")
    with pytest.raises(OptionError, match=r"it needs nosuch, which is not installed: pip install 'moframework\[x\]'"):
        needs("nosuch", "x", "it")
