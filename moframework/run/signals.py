"""Stopping on request: what SIGINT, SIGTERM and SIGHUP mean while something runs that can be continued later."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

from moframework.errors import InterruptedRun

__all__ = ["PARENT", "Signaled", "StopRequest", "follow_parent", "stop_signals"]

PARENT = "MOFRAMEWORK_PARENT"
"""Environment variable that names the process for which this one works."""

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows lacks the last


class Signaled(InterruptedRun):
    """A signal has come where nobody asks for it: only this process stops, wherever it is."""


class StopRequest:
    """Whether somebody asked to stop; an answer to be polled, or an exception.

    Polled, the first signal is only noted, and the second raises. Otherwise the first one raises, wherever the process
    is: files are written whole or not at all. After the exception signals act as usual.
    """

    def __init__(self, *, polled: bool) -> None:
        self._asked, self._polled, self._what = False, polled, "starting"
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Whether a signal has come."""
        return self._asked

    @contextlib.contextmanager
    def polled(self) -> Iterator[None]:
        """While inside, somebody asks this object, after every step, say."""
        before, self._polled = self._polled, True
        try:
            yield
        finally:
            self._polled = before

    def during(self, what: str) -> None:
        """From now on the message says that it was stopped while `what`: `reading the data`."""
        self._what = what

    def handle(self, number: int, _: object) -> None:
        """A signal has come."""
        polled = self._polled and not self._asked
        self._asked = True
        if polled:
            return
        self.restore()
        raise Signaled(f"stopped while {self._what}, as {signal.Signals(number).name} asked")

    def install(self) -> None:
        """Handle signals from now on, but those that are ignored, such as SIGHUP under nohup."""
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self.handle)

    def restore(self) -> None:
        """Let signals act as they did before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()


def follow_parent() -> None:
    """Where `PARENT` says whose child this process is: stop, as at SIGTERM, when that process is no more."""
    parent = os.environ.pop(PARENT, None)
    if parent is None or os.name == "nt":
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="moframework-parent", daemon=True).start()


@contextlib.contextmanager
def stop_signals(*, polled: bool = True) -> Iterator[StopRequest]:
    """While inside, signals ask for a stop. Yields the question.

    Outside the main thread, where Python handles no signals, nothing is changed and the answer stays no.

    Args:
        polled: see `StopRequest`.
    """
    request = StopRequest(polled=polled)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    request.install()
    try:
        yield request
    finally:
        request.restore()
