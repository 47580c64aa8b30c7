"""`Guarded`: a log whose failures do not end the training that it watches."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moframework.engine.events import Progress, Reading
from moframework.errors import InterruptedRun, shortened
from moframework.loggers.base import Log, Results
from moframework.pareto.front import Front

__all__ = ["Guarded"]

_SHARE = 9  # times as long as a failed call took must pass before the next: a tenth of the time at most
_PAUSE = 5.0  # and so many seconds
_LONGEST = 300  # characters of a message


class Guarded(Log):
    """Passes everything on to a log, and survives it.

    The first failure is told in a sentence. From then on the log is left alone for nine times as long as the call took
    that failed, at least five seconds; what happens meanwhile it is not told. Its results it is told in any case.

    Args:
        name: of the logger, for the sentence.
        log: to be told.
        tell: takes the sentence.
    """

    def __init__(self, name: str, log: Log, tell: Callable[[str], None]) -> None:
        self.name, self.log, self.tell = name, log, tell
        self._is_started = self._has_failed = False
        self._not_before = 0.0
        self._last: Progress | None = None

    def listens(self, event: str) -> bool:
        return self.log.listens(event)

    def started(self, progress: Progress) -> None:
        self._pass(progress, None)

    def noted(self, words: str) -> None:
        if self._is_started:
            self._pass(None, self.log.noted, words)

    def stepped(self, progress: Progress) -> None:
        self._pass(progress, self.log.stepped, progress)

    def logged(self, progress: Progress, reading: Reading) -> None:
        self._pass(progress, self.log.logged, progress, reading)

    def evaluated(self, progress: Progress, front: Front, *, hypervolume: float, is_best: bool) -> None:
        self._pass(progress, self.log.evaluated, progress, front, hypervolume=hypervolume, is_best=is_best)

    def saved(self, progress: Progress, path: Path) -> None:
        self._pass(progress, self.log.saved, progress, path)

    def finished(self, progress: Progress) -> None:
        self._pass(progress, self.log.finished, progress)

    def ended(self, results: Results) -> None:
        self._not_before = 0.0
        self._pass(self._last, self.log.ended, results)

    def close(self, error: BaseException | None = None) -> None:
        self._survived(self.log.close, error)

    def _pass(self, progress: Progress | None, call: Callable[..., None] | None, *args: Any, **named: Any) -> None:
        """One event; before it the start, where the log has not started yet."""
        self._last = progress or self._last
        if time.monotonic() < self._not_before:
            return
        if not self._is_started and self._last is not None:
            self._is_started = self._survived(self.log.started, self._last)
            if not self._is_started:
                return
        if call is not None:
            self._survived(call, *args, **named)

    def _survived(self, call: Callable[..., None], *args: Any, **named: Any) -> bool:
        begun = time.monotonic()
        try:
            call(*args, **named)
        except InterruptedRun:  # a signal came in the middle of it
            raise
        except Exception as error:
            now = time.monotonic()
            self._not_before = now + max(_SHARE * (now - begun), _PAUSE)
            if not self._has_failed:
                self._has_failed = True
                what = shortened(" ".join(f"{type(error).__name__}: {error}".split()), _LONGEST)
                self.tell(f"the logger {self.name} failed ({what}); training goes on, and what it is not told is lost")
            return False
        return True
