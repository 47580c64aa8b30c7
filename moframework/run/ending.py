"""How a run ends: whatever it is, `status.json` says it, `log.txt` has the traceback, and the words say what to do."""

from __future__ import annotations

import errno
import json
import re
import time
import traceback
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from moframework.errors import InterruptedRun, LostPeerError, MoframeworkError, PeerError, RunError
from moframework.io.sealed import FORMAT, seal_json, write_json
from moframework.processes.world import World
from moframework.run.logs import TextLog
from moframework.run.resuming import resume_command
from moframework.run.run import LOG, SPEC, STATUS
from moframework.run.signals import Signaled, stop_signals

__all__ = ["Ending", "explained"]

_FULL = (errno.ENOSPC, errno.EDQUOT)
_LONGEST = 1500  # characters of a message


class Ending:
    """The status of a run, and what an exception that leaves this context does to it.

    An error of the machine (memory, disk, a killed loader) is raised again as a `RunError` that says what to lower or
    to free; of what else is raised only the record is made. Nothing is recorded before the run's spec is written.

    Args:
        folder: the run folder.
        world: the processes that solve together; the first one writes, or whoever is left.
    """

    def __init__(self, folder: Path, world: World) -> None:
        self._folder, self._world, self._started = folder, world, time.time()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        with stop_signals():  # torchrun ends those that another process has left behind
            self._ended(error)

    def state(self, status: str, **facts: Any) -> None:
        """Write `status.json`."""
        now = time.time()
        content = {
            "format": FORMAT,
            "status": status,
            "started": datetime.fromtimestamp(self._started).isoformat(timespec="seconds"),
            "seconds": round(now - self._started, 3),
            **facts,
        }
        try:
            write_json(self._folder / STATUS, content)
        except OSError as error:
            if error.errno not in _FULL or not (self._folder / STATUS).is_file():
                raise
            # There is no room for a second file beside the old one, whose own room this one needs no more than.
            text = seal_json(json.dumps(content, indent=2))
            with (self._folder / STATUS).open("r+b") as file:
                file.write(text.encode())
                file.truncate()

    def _ended(self, error: BaseException) -> None:
        """Record `error`, and raise what is to be raised in its place, if anything."""
        asked = isinstance(error, InterruptedRun | KeyboardInterrupt)
        together = isinstance(error, InterruptedRun) and not isinstance(error, Signaled)  # all stop after one step
        blamed = None if together else self._world.root_cause(error)
        told = explained(error, self._folder) if blamed is None else blamed
        begun = (self._folder / SPEC).is_file()
        if begun and (self._world.is_rank_zero or isinstance(blamed, LostPeerError)):
            self._record("interrupted" if asked and blamed is None else "failed", told, error)
        if isinstance(told, InterruptedRun) and begun:
            raise type(told)(f"{told}. Continue with: {resume_command(self._folder)}") from None
        if told is not error:
            raise told from error

    def _record(self, status: str, told: BaseException, error: BaseException) -> None:
        """Status, and the traceback in the log. A disk that takes nothing more must not hide why the run ended."""
        whole = isinstance(told, InterruptedRun | PeerError | LostPeerError)  # words that name an error of another
        message = str(told) if whole else f"{type(told).__name__}: {told}"
        message = message if len(message) <= _LONGEST else f"{message[:_LONGEST]}…"
        try:
            self.state(status, message=message)
            log = TextLog(self._folder / LOG)
            log.append(f"{status}: {message}")
            if not isinstance(error, InterruptedRun | KeyboardInterrupt):
                log.append("".join(traceback.format_exception(error)).rstrip())
                error.add_note(f"The traceback is in {self._folder / LOG}")
        except OSError as other:
            told.add_note(f"This could not be recorded in {self._folder}: {other}")


def explained(error: BaseException, folder: Path) -> BaseException:
    """An error of the machine in words that say what to do; any other as it is.

    Args:
        folder: the run folder, for the words.
    """
    text = str(error)
    again = f"then continue with: {resume_command(folder)}"
    if isinstance(error, MoframeworkError):
        return error
    if _is_out_of_memory(error):
        return RunError(
            f"out of memory ({_first_line(text) or type(error).__name__}). Lower training.batch_size, the preferences "
            "per batch, evaluate.batch_size or training.workers, or use a larger device, in a run of its own (--out); "
            f"or free memory that others hold, {again}"
        )
    if isinstance(error, OSError):
        return _of_disk(error, folder, again)
    if isinstance(error, RuntimeError) and _KILLED_WORKER.search(text):
        return RunError(
            f"a process that loads data was killed ({_first_line(text)}): perhaps memory, or the shared memory in "
            f"/dev/shm, ran out. Lower training.workers (0 loads in the main process), or free memory; {again}"
        )
    return error


def _is_out_of_memory(error: BaseException) -> bool:
    """Python's error, torch's for devices, torch's words for the host, or the system's, where it makes no process."""
    if isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)):
        return True
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)


_OUT_OF_MEMORY = re.compile(r"can't allocate memory|out of memory|CUBLAS_STATUS_ALLOC_FAILED", re.IGNORECASE)
_KILLED_WORKER = re.compile(r"DataLoader worker .*(is killed by signal|exited unexpectedly)")


def _of_disk(error: OSError, folder: Path, again: str) -> BaseException:
    where = error.filename if error.filename is not None else folder
    if error.errno in _FULL:
        return RunError(f"the disk of {where} is full. What was written before is kept. Free space, {again}")
    if not folder.is_dir():
        return RunError(f"{folder} was removed while it was being solved: nothing of the run is left. Start it anew.")
    if Path(where).is_relative_to(folder) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO):
        return RunError(f"{where} cannot be written ({error.strerror}). Make {folder} writable, {again}")
    return error


def _first_line(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= 300 else f"{line[:300]}…"
