"""The right to write in a folder, held by one process among all that see it."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import filelock

from moframework.errors import RunError
from moframework.io.atomic import write_text

__all__ = ["LOCK", "OWNER", "FolderLock", "is_held", "owner"]

LOCK, OWNER = ".lock", ".owner.json"
"""Names of the file that the kernel locks, and of the one that says who holds it, there while somebody does."""

_BEAT = 20.0  # seconds between two signs of life
_DEAD = 120.0  # seconds without one, after which a process of another machine is taken for dead
_CHILDREN = 30.0  # seconds in which the loader workers of a killed process have noticed that it is gone


class FolderLock:
    """Holds a folder, as a context. The kernel frees the lock when the process dies, however it does.

    The lock is the kernel's on the file `.lock`, which holds among all processes of a machine, and on shared disks that
    pass locks on. On those that do not, `.owner.json` decides: the owner touches it every 20 seconds, and one of
    another machine that has not done so for two minutes is taken for dead.

    Args:
        folder: must exist.
        what: what is done in it, for the message: `solved`.

    Raises:
        RunError: on entering, another process holds it: its host, pid and since when.
        OSError: on entering, the folder cannot be written.
    """

    def __init__(self, folder: Path, what: str = "solved") -> None:
        self._folder, self._what, self._owner = folder, what, folder / OWNER
        self._lock = filelock.FileLock(folder / LOCK)
        self._released = threading.Event()

    def __enter__(self) -> Self:
        until = time.monotonic() + _CHILDREN
        while True:
            try:
                self._lock.acquire(timeout=0)
                break
            except filelock.Timeout:
                if not _died_here(owner(self._folder)) or time.monotonic() > until:
                    raise self._held() from None
                time.sleep(0.1)
        found = owner(self._folder)
        if found is not None and found["host"] != platform.node() and is_held(self._folder):
            self._lock.release()
            raise self._held()
        now = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
        try:
            write_text(self._owner, json.dumps({"host": platform.node(), "pid": os.getpid(), "since": now}) + "\n")
        except OSError:
            self._lock.release()
            raise
        threading.Thread(target=self._beat, name="moframework-lock", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        with contextlib.suppress(OSError):  # the folder is gone, say; the kernel frees the lock all the same
            self._owner.unlink(missing_ok=True)
        self._lock.release()

    def _beat(self) -> None:
        while not self._released.wait(_BEAT):
            try:
                os.utime(self._owner)
            except OSError:
                return

    def _held(self) -> RunError:
        found = owner(self._folder)
        who = "another process"
        if found is not None:
            who = f"process {found['pid']} on {found['host']} since {found['since']}"
        return RunError(
            f"{self._folder} is being {self._what} by {who}. Wait until it ends, stop it, or choose another --out."
        )


def owner(folder: Path) -> dict[str, Any] | None:
    """Who holds, or held when it died, the lock of `folder`: `host`, `pid`, `since`; None where nobody does."""
    try:
        found = json.loads((folder / OWNER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"host", "pid", "since"} <= set(found) else None


def is_held(folder: Path) -> bool:
    """Whether a living process holds `folder`, as far as can be told without taking its lock."""
    found = owner(folder)
    if found is None:
        return False
    if found["host"] == platform.node():
        return not _died_here(found)
    try:
        return time.time() - (folder / OWNER).stat().st_mtime < _DEAD
    except OSError:  # it ended just now
        return False


def _died_here(found: dict[str, Any] | None) -> bool:
    """Whether the owner was a process of this machine that is no more."""
    if found is None or found["host"] != platform.node() or os.name == "nt":
        return False
    try:
        os.kill(int(found["pid"]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, ValueError, OverflowError):
        return False
    return False
