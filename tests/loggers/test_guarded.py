from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from moframework.engine.events import Progress
from moframework.errors import InterruptedRun
from moframework.loggers import Log, Results
from moframework.loggers.guarded import Guarded
from tests.loggers.telling import front, progress, results, tell


class Flaky(Log):
    """Fails as often as it is told to, then listens."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.failures, self.error = failures, error or ConnectionError("nobody\nanswers")
        self.heard: list[Any] = []

    def _hear(self, what: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise self.error
        self.heard.append(what)

    def started(self, progress: Progress) -> None:
        self._hear(("started", progress.step))

    def logged(self, progress: Progress, reading: Any) -> None:
        self._hear(progress.step)

    def ended(self, results: Results) -> None:
        self._hear("ended")

    def close(self, error: BaseException | None = None) -> None:
        self._hear(("closed", error))


def test_everything_is_passed_on() -> None:
    log, said = Flaky(0), list[str]()
    guarded = Guarded("flaky", log, said.append)
    guarded.started(progress(0))
    tell(guarded, 10)
    guarded.noted("words")
    guarded.finished(progress(10))
    guarded.ended(results())
    guarded.close()
    assert log.heard == [("started", 0), 10, "ended", ("closed", None)]
    assert not said
    assert not guarded.listens("stepped")
    assert guarded.listens("logged")


def test_failures_are_told_once_and_the_log_gets_another_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("moframework.loggers.guarded.time.monotonic", lambda: now[0])
    log, said = Flaky(2), list[str]()
    guarded = Guarded("flaky", log, said.append)
    guarded.started(progress(0))
    tell(guarded, 10)
    assert log.failures == 1, "it is left alone for a while"
    now[0] += 6
    tell(guarded, 20)  # starting fails again
    now[0] += 6
    tell(guarded, 30)
    assert log.heard == [("started", 30), 30]
    assert said == [
        "the logger flaky failed (ConnectionError: nobody answers); training goes on, and what it is not told is lost"
    ]


def test_a_log_that_is_slow_to_fail_waits_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.0, 20.0, 100.0, 199.0, 201.0, 201.0, 201.0, 201.0])
    monkeypatch.setattr("moframework.loggers.guarded.time.monotonic", lambda: next(clock))
    log = Flaky(1)
    guarded = Guarded("flaky", log, lambda words: None)
    guarded.started(progress(0))  # from 0 to 20: not before 200
    guarded.finished(progress(1))
    guarded.finished(progress(2))
    assert not log.heard
    guarded.finished(progress(3))
    assert log.heard == [("started", 3)]


def test_results_are_told_in_any_case() -> None:
    log = Flaky(1)
    guarded = Guarded("flaky", log, lambda words: None)
    guarded.started(progress(0))
    guarded.evaluated(progress(10), front(10), hypervolume=0.1, is_best=True)
    guarded.ended(results())
    assert log.heard == [("started", 10), "ended"]


def test_a_signal_goes_through() -> None:
    guarded = Guarded("flaky", Flaky(1, InterruptedRun("stop")), lambda words: None)
    with pytest.raises(InterruptedRun):
        guarded.started(progress(0))


def test_what_fails_while_closing_is_told() -> None:
    log, said = Flaky(0), list[str]()
    guarded = Guarded("flaky", log, said.append)
    guarded.started(progress(0))
    log.failures, log.error = 1, OSError(28, "No space left on device", str(Path("x")))
    guarded.close()
    assert "No space left on device" in said[0]
