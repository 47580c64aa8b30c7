"""Stopping on request: what SIGINT and SIGTERM mean while something runs that can be continued later."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["stop_signals"]


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """While inside, SIGINT and SIGTERM ask for a stop; a second one acts as usual. Yields the question.

    Outside the main thread, where Python handles no signals, nothing is changed and the answer stays no.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before: dict[signal.Signals, Any] = {}

    def handle(number: int, _: object) -> None:
        asked.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.getsignal(number)
        signal.signal(number, handle)
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
