"""Trials as processes on this machine: forked from one that has done their imports, where that is possible."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import torch
from attrs import define

from moframework.benchmark.fork_server import Forked, ForkServer
from moframework.run.run import SPEC
from moframework.run.signals import PARENT

__all__ = ["COMMAND", "Begin", "TrialProcess", "Workers", "processes"]

COMMAND = "tune-trial"
"""Of `python -m moframework`, with the folder of a trial: what its process runs."""

_LONGEST = 2000  # characters kept of what a process said


class TrialProcess(Protocol):
    """The process of a trial."""

    def poll(self) -> int | None:
        """The exit code, if it has ended; negative for a signal."""

    def terminate(self) -> None:
        """Ask it to save and end."""

    def kill(self) -> None:
        """End it."""

    def said(self) -> str:
        """What it wrote."""


Begin = Callable[[Path], TrialProcess]
"""Begins the trial in a folder."""

Workers = Callable[[int, bool], AbstractContextManager[Begin]]
"""What begins trials, while it is entered, for as many at a time; with or without trust."""


@contextlib.contextmanager
def processes(jobs: int, trust: bool) -> Iterator[Begin]:
    """While inside, each trial is begun as a process of its own, with a session of its own: Ctrl-C reaches it once,
    through the study; when the study is killed, it saves and ends. Where trials are forked, those that begin once one
    more process has read the data of the first are forked from that, see `moframework.run.held`.

    Args:
        jobs: trials at a time, which share the cores equally, unless OMP_NUM_THREADS is set.
        trust: whether trials may import code that the run named by `solver.initial` names.
    """
    environment = dict(os.environ)
    environment.setdefault("OMP_NUM_THREADS", str(max(1, _cores() // jobs)))
    with contextlib.ExitStack() as stack:
        server: ForkServer | None = None
        if ForkServer.available() and not torch.accelerator.is_available():
            server = stack.enter_context(ForkServer(environment))
        readers = list[ForkServer]()
        running = list[TrialProcess]()
        stack.callback(_kill, running)

        def begin(folder: Path) -> TrialProcess:
            running[:] = [one for one in running if one.poll() is None]
            log = folder.with_name(f"{folder.name}.log")
            arguments = (COMMAND, str(folder.absolute()), *(("--trust",) if trust else ()))
            with log.open("ab") as file:
                before = file.tell()
                process: subprocess.Popen[bytes] | Forked
                if server is not None and server.alive:
                    ready = [one for one in readers if one.ready and one.alive]
                    process = (ready or [server])[0].start(arguments, environment, file, ())
                    if not readers:
                        readers.append(stack.enter_context(server.with_data(folder.absolute() / SPEC, environment)))
                else:
                    process = subprocess.Popen(
                        [sys.executable, "-m", "moframework", *arguments], stdin=subprocess.DEVNULL, stdout=file,
                        stderr=file, env={**environment, PARENT: str(os.getpid())}, start_new_session=True,
                    )  # fmt: skip
            running.append(_Process(process, log, before))
            return running[-1]

        yield begin


@define(eq=False)
class _Process:
    """A process with its log, which had `before` bytes when it began."""

    process: subprocess.Popen[bytes] | Forked
    log: Path
    before: int

    def poll(self) -> int | None:
        return self.process.poll()

    def terminate(self) -> None:
        self.process.terminate()

    def kill(self) -> None:
        self.process.kill()

    def said(self) -> str:
        with self.log.open("rb") as file:
            file.seek(self.before)
            text = file.read().decode(errors="replace").strip()
        return text if len(text) <= _LONGEST else f"…{text[-_LONGEST:]}"


def _kill(running: Sequence[TrialProcess]) -> None:
    for one in running:
        one.kill()


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
