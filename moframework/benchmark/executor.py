"""The contract of an executor: commands in, outcomes out. This is where clusters plug in."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from attrs import frozen

from moframework.config import Component

__all__ = ["Executor", "Job", "Outcome", "available_cores"]


@frozen(kw_only=True)
class Job:
    """A command to be run once, on its own: it leaves its results in `folder`, as a run that can be resumed."""

    name: str
    """For people: `digits, palora, seed 0`."""
    command: tuple[str, ...]
    """Program and arguments; every path among them is absolute."""
    folder: Path
    """The run folder, which exists. On a cluster it must lie on a disk that all machines share."""
    log: Path
    """File that gets what the command writes on stdout and stderr, appended."""
    data: str | None = None
    """Says which data it reads: jobs with equal texts read the same, and may share it; None: not known."""


@frozen(kw_only=True)
class Outcome:
    """How a job ended."""

    job: Job
    code: int
    """Exit code of the command, as `moframework solve` defines them: 0 done, 130 stopped on request; negative: killed
    by that signal."""
    seconds: float
    """Wall-clock time from its start."""
    said: str = ""
    """What the command wrote in this attempt, or why it could not be started."""
    late: bool = False
    """Whether it was ended for having taken too long."""


class Executor(Component, kind="executors"):
    """Runs the cells of a benchmark, each as one process of its own, so that none can take another down.

    Registered under `moframework.executors` and chosen in a benchmark's spec: `executor: {name: local, jobs: 4}`. The
    option that says how many jobs run at a time is called `jobs`, so that `--jobs` finds it.

    >>> import subprocess, sys
    >>> from pathlib import Path
    >>> from moframework.config import config
    >>> @config
    ... class Serial(Executor):
    ...     "One cell after the other."
    ...     def run(self, jobs, *, started, stop):
    ...         for job in jobs:
    ...             started(job)
    ...             yield Outcome(job=job, code=subprocess.run(job.command).returncode, seconds=0.0)
    >>> job = Job(name="nothing", command=(sys.executable, "-c", ""), folder=Path("cell"), log=Path("cell/log.txt"))
    >>> [outcome.code for outcome in Serial().run([job], started=lambda job: None, stop=lambda: False)]
    [0]
    """

    @abstractmethod
    def run(
        self, jobs: Sequence[Job], *, started: Callable[[Job], None], stop: Callable[[], bool]
    ) -> Generator[Outcome, None, None]:
        """Run every job and yield its outcome as soon as it has one, in any order.

        A job that fails is an outcome like any other. Closing the iterator early, or an exception in it, must leave no
        process behind.

        Args:
            jobs: what to run; earlier ones start first.
            started: called as each job starts.
            stop: asked at least once a second. Once it says yes nothing more is started, and running jobs are sent
                SIGTERM, upon which they save and end; their outcomes are still yielded.
        """

    def parallel(self) -> int | None:
        """How many jobs run at a time, as far as that is known without starting anything: by default what the option
        `jobs` says."""
        found = getattr(self, "jobs", None)
        return found if isinstance(found, int) else None


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
