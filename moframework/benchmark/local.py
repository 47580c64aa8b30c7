"""Cells as processes on this machine."""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Literal

from attrs import define

from moframework.benchmark.attempt import said
from moframework.benchmark.data_servers import DataServers
from moframework.benchmark.executor import Executor, Job, Outcome, available_cores
from moframework.benchmark.fork_server import Forked, ForkServer
from moframework.config import config, option
from moframework.run.signals import PARENT

__all__ = ["Local"]

_PAUSE = 0.1  # seconds between two looks at the processes


@define(eq=False)
class _Running:
    """A process with its job."""

    job: Job
    process: subprocess.Popen[bytes] | Forked
    since: float
    before: int
    """Size of the log when it started."""
    late: bool = False
    """Whether it has been asked to end for having taken too long."""

    def outcome(self) -> Outcome:
        return Outcome(
            job=self.job, code=self.process.returncode or 0, seconds=time.monotonic() - self.since,
            said=said(self.job.log, self.before), late=self.late,
        )  # fmt: skip


@config
class Local(Executor):
    """Processes on this machine, `jobs` at a time, which share its cores equally.

    Each process has a session of its own, so that Ctrl-C reaches it once, through the benchmark; when the benchmark is
    killed, it saves and ends. It holds a lock on its cell, so that two benchmarks in one folder, or one that was killed
    and started again, never write the same run: a cell whose lock is held is waited for. (Locks: POSIX systems.)

    On Linux they are forked from a process that has done their imports (see `fork_server`): a cell of the embedded
    digits takes half the time. Cells of one problem are forked from one that has read its data too, so that it is read
    once, and is once in memory, where it consists of tensors and the problem is none of one's own code.

    Two cells at a time, of an hour each at most::

        executor: {name: local, jobs: 2, threads: 4, limit: 3600}
    """

    jobs: int = option(1, ge=1, le=1024, help="processes at a time; times are only comparable for the same number")
    threads: int | None = option(
        None,
        ge=1,
        le=1024,
        help="threads of each; none: OMP_NUM_THREADS where that is set, else the cores shared equally",
    )
    grace: float = option(60.0, ge=0, help="seconds that a process has to end by itself after a request to stop")
    limit: float | None = option(
        None, gt=0, help="seconds that a cell may take; then it is asked to end, saves, and counts as failed; none: any"
    )
    start: Literal["auto", "fork", "new"] = option(
        "auto",
        help="whether processes are forked from one that has imported what they need, which saves each some seconds, "
        "or new ones; auto: forked on Linux where there are several and no accelerator",
    )

    def run(
        self, jobs: Sequence[Job], *, started: Callable[[Job], None], stop: Callable[[], bool]
    ) -> Generator[Outcome, None, None]:
        """See `Executor.run`."""
        with contextlib.ExitStack() as stack:
            servers: DataServers | None = None
            forkable = sum(map(_forkable, jobs))
            if forkable and (self.start == "fork" or (self.start == "auto" and forkable > 1 and _forks())):
                limit = math.inf if self.limit is None else self.limit
                servers = stack.enter_context(DataServers(self._environment(), most=max(4, self.jobs), limit=limit))
            yield from self._run(list(jobs), servers, started, stop)

    def _run(
        self, waiting: list[Job], servers: DataServers | None, started: Callable[[Job], None], stop: Callable[[], bool]
    ) -> Generator[Outcome, None, None]:
        running = list[_Running]()
        asked: float | None = None
        try:
            while waiting or running:
                if stop():
                    waiting.clear()
                    asked = self._end(running, asked)
                self._hurry(running)
                yield from self._fill(waiting, running, servers, started)
                ended = [one for one in running if one.process.poll() is not None]
                for one in ended:
                    running.remove(one)
                    yield one.outcome()
                if not ended:
                    time.sleep(_PAUSE)
        finally:
            for one in running:
                one.process.kill()
            for one in running:
                one.process.wait()

    def _end(self, running: Sequence[_Running], asked: float | None) -> float:
        """Ask the processes to end, once, and kill them where `grace` seconds were too few; the time of asking."""
        if asked is None:
            for one in running:
                one.process.terminate()
            return time.monotonic()
        if time.monotonic() > asked + self.grace:
            for one in running:
                one.process.kill()
        return asked

    def _hurry(self, running: Sequence[_Running]) -> None:
        """Ask processes that have taken longer than `limit` to end, once, and kill them after `grace` seconds more."""
        limit = math.inf if self.limit is None else self.limit
        for one in running:
            over = time.monotonic() - one.since - limit
            if over > self.grace:
                one.process.kill()
            elif over > 0 and not one.late:
                one.late = True
                one.process.terminate()

    def _fill(
        self,
        waiting: list[Job],
        running: list[_Running],
        servers: DataServers | None,
        started: Callable[[Job], None],
    ) -> Generator[Outcome, None, None]:
        """Start what may run beside what is `running`; yield the outcome of jobs that cannot be started."""
        for job in waiting[:]:
            if len(running) >= self.jobs:
                return
            server = None
            if servers is not None and _forkable(job):
                server = servers.of(job, waiting, [one.job for one in running])
                if server is None:
                    continue
            begun = self._begin(job, server)
            if begun is None:
                continue
            waiting.remove(job)
            if isinstance(begun, Outcome):
                yield begun
                continue
            running.append(begun)
            started(job)

    def _begin(self, job: Job, server: ForkServer | None) -> _Running | Outcome | None:
        """The job's process, forked where there is a server; None while another process holds its cell; an outcome when
        it cannot be started."""
        with contextlib.ExitStack() as stack:
            lock = stack.enter_context(_lock(job.log.with_suffix(".lock")))
            if lock is None:
                return None
            log = stack.enter_context(job.log.open("ab"))
            before = log.tell()
            try:
                # The process inherits the lock and holds it as long as it lives, whatever happens to this one.
                if server is not None and server.alive:
                    forked = server.start(job.command[3:], self._environment(), log, lock)
                    return _Running(job, forked, time.monotonic(), before)
                process = subprocess.Popen(
                    job.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env={**self._environment(), PARENT: str(os.getpid())}, start_new_session=True, pass_fds=lock,
                )  # fmt: skip
            except OSError as error:
                return Outcome(job=job, code=1, seconds=0.0, said=f"cannot start {job.command[0]}: {error.strerror}")
            return _Running(job, process, time.monotonic(), before)

    def _environment(self) -> dict[str, str]:
        environment = dict(os.environ)
        if self.threads is not None or "OMP_NUM_THREADS" not in environment:
            count = self.threads or max(1, available_cores() // self.jobs)
            environment["OMP_NUM_THREADS"] = str(count)
        return environment


def _forkable(job: Job) -> bool:
    """Whether a process with moframework imported can do the job."""
    return job.command[:3] == (sys.executable, "-m", "moframework")


def _forks() -> bool:
    """Whether forking is known to do no harm here. With an accelerator it was never tried."""
    import torch

    return ForkServer.available() and not torch.accelerator.is_available()


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[tuple[int, ...] | None]:
    """A lock on `path`: descriptors to hand to the process that shall hold it, or None when another process does.

    It is the kernel's, and ends with the last process that has the descriptor open. Windows has none such, and there
    nothing is locked.
    """
    if sys.platform == "win32":
        yield ()
        return
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    held: tuple[int, ...] | None = None
    try:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = (descriptor,)
        yield held
    finally:
        os.close(descriptor)
