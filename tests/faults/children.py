"""Runs in processes of their own, made by forking, so that each does not take the seconds of importing torch."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["SOLVERS", "Child", "fork", "spec"]

SOLVERS: Mapping[str, Any] = {
    "palora": {"name": "palora", "rank": 1},
    "pamal": "pamal",
    "lorpman": {"name": "lorpman", "rank": 1},
    "phn": "phn",
    "cosmos": "cosmos",
    "multipoint": {"name": "multipoint", "points": 2},
    "nash_mtl": {"name": "single", "objective": "nash_mtl"},
}


def spec(solver: Any, **changes: Any) -> dict[str, Any]:
    """A run of a second or two that saves ten times and validates five times."""
    return {
        "name": "small",
        "problem": {"name": "digits", "train": 128, "val": 32, "test": 32},
        "solver": solver,
        "training": {"steps": 40, "batch_size": 16, "log_every": 2, "checkpoint_every": 4},
        "evaluate": {"points": 3, "checkpoint": "best"},
        **changes,
    }


class Child:
    """A forked process, and how it ended."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.status: int | None = None

    @property
    def ended(self) -> bool:
        """Whether it has ended by now."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def wait(self, seconds: float = 300.0) -> int:
        """Its exit code, negative for a signal; it is killed when it takes longer."""
        end = time.monotonic() + seconds
        while not self.ended:
            if time.monotonic() > end:
                self.send(signal.SIGKILL)
                raise TimeoutError(f"process {self.pid} did not end in {seconds:g} s")
            time.sleep(0.005)
        assert self.status is not None
        return self.status

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it is still there."""
        if not self.ended:
            os.kill(self.pid, number)


def fork(work: Callable[[], object], said: Path) -> Child:
    """Do `work` in a child, which exits with 0, or with 1 and the traceback in `said`.

    torch must not have computed in this process before: its threads do not survive.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return Child(pid)
    code = 1
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it starts in the background ignore it
    try:
        with said.open("a") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
