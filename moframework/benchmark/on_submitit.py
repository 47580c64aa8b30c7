"""Cells as jobs of Slurm through submitit (https://github.com/facebookincubator/submitit, MIT), which is optional:
`pip install 'moframework[submitit]'`."""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from attrs import define, frozen

from moframework.benchmark.attempt import Attempt, forwarded
from moframework.benchmark.executor import Executor, Job, Outcome, available_cores
from moframework.benchmark.remote import Lost, drive
from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.errors import RunError, meant
from moframework.io.atomic import write_text
from moframework.run.signals import stop_signals

__all__ = ["Submitit", "work"]

_LONGEST = 30 * 24 * 60  # minutes of a job that has no limit, where nothing but submitit asks for one
_SLOW = 15.0  # seconds until a shared disk shows what an ended job has written
_LISTS, _MAPPINGS = ("setup", "teardown", "srun_args"), ("additional_parameters",)
_OWN = {
    "job_name": "the name of the cell", "time": "executor.limit", "timeout_min": "executor.limit",
    "cpus_per_task": "executor.cpus", "gpus_per_node": "executor.gpus", "mem": "executor.memory",
    "nodes": "1: a cell is one process", "ntasks_per_node": "1: a cell is one process",
}  # fmt: skip
"""Options of Slurm that follow from those of the executor, and from which."""


@config
class Submitit(Executor):
    """A job of Slurm for each cell. The benchmark's folder must lie on a disk that all machines share.

    A job that is preempted or dies is a lost try of its cell; the next one goes on from the last checkpoint. When the
    benchmark is killed, its jobs go on; the same command waits for those that run. Needs the extra:
    `pip install 'moframework[submitit]'`.

    Jobs of one GPU and two hours in a partition of Slurm::

        executor: {name: submitit, gpus: 1, cpus: 8, limit: 7200, slurm: {partition: gpu}}
    """

    cluster: Literal["slurm", "local"] = option(
        "slurm", help="where jobs are submitted to; local: processes on this machine, to try a spec"
    )
    jobs: int | None = option(
        None, ge=1, le=100_000, help="jobs at a time, waiting ones included; none: all at once, and on this machine as "
        "many as it has cores for",
    )  # fmt: skip
    cpus: int = option(1, ge=1, le=1024, help="processors of a cell")
    gpus: int = option(0, ge=0, le=64, help="GPUs of a cell")
    memory: float | None = option(None, gt=0, help="GiB of memory of a cell; none: what the partition gives")
    threads: int | None = option(None, ge=1, le=1024, help="threads of a cell; none: as many as its processors")
    tries: int = option(3, ge=1, le=100, help="how often a cell is begun whose jobs die, until it has failed")
    grace: float = option(60.0, ge=0, help="seconds that a cell has to end by itself after a request to stop")
    limit: float | None = option(
        None, gt=0, help="seconds that a try may take; then it is asked to end, saves, and its cell counts as failed. "
        "Slurm needs it: it is, with `grace`, the time that jobs ask for",
    )  # fmt: skip
    slurm: dict[str, Any] = option(
        factory=dict, help="further options of sbatch as submitit names them, such as partition, account, qos, "
        "constraint, exclude, setup, array_parallelism; `additional_parameters` has those that it does not know",
    )  # fmt: skip

    def __attrs_post_init__(self) -> None:
        if self.cluster == "slurm" and self.limit is None:
            raise OptionError("limit must say how many seconds a cell may take: without it submitit asks Slurm for 5 "
                              "minutes", "limit")  # fmt: skip
        for key, value in self.slurm.items():
            if key in _OWN:
                raise OptionError(f"slurm.{key} follows from {_OWN[key]}", "slurm")
            kind = list if key in _LISTS else dict if key in _MAPPINGS else str | int | float
            if not isinstance(value, kind):
                what = "a list" if kind is list else "a mapping" if kind is dict else "a text, a number or true"
                raise OptionError(f"slurm.{key} must be {what}, but it is {value!r}", "slurm")
        self._check_known()

    def _check_known(self) -> None:
        """Refuse options that the installed submitit does not know."""
        if find_spec("submitit") is None or not self.slurm:
            return
        from submitit.slurm.slurm import SlurmExecutor

        known = sorted(SlurmExecutor._valid_parameters() - _OWN.keys() - {"num_gpus"})
        for key in self.slurm:
            if key not in known:
                raise OptionError(
                    f"submitit has no option '{key}' of Slurm; {meant(key, known)}it has: {', '.join(known)}", "slurm"
                )

    def run(
        self, jobs: Sequence[Job], *, started: Callable[[Job], None], stop: Callable[[], bool]
    ) -> Generator[Outcome, None, None]:
        """See `Executor.run`.

        Raises:
            RunError: submitit is not installed, or there is no Slurm on this machine.
        """
        if find_spec("submitit") is None:
            raise RunError(
                "the executor submitit needs submitit, which is not installed: pip install 'moframework[submitit]'"
            )
        cluster = _Submissions(self)
        yield from drive(cluster, jobs, tries=self.tries, grace=self.grace, started=started, stop=stop)

    def parallel(self) -> int | None:
        """See `Executor.parallel`."""
        if self.jobs is not None or self.cluster == "slurm":
            return self.jobs
        return max(1, available_cores() // self.cpus)


@frozen
class _Submissions:
    """What is submitted with these options."""

    options: Submitit

    def room(self) -> int:
        """See `Cluster.room`."""
        return self.options.parallel() or 100_000

    def submit(self, job: Job) -> _SubmittedHandle:
        """See `Cluster.submit`."""
        import submitit

        own = self.options
        folder = job.folder.parent / ".submitit"
        attempt = Attempt(
            job=job, threads=own.threads or own.cpus, hide_gpus=own.gpus == 0, limit=own.limit, grace=own.grace,
            environment=forwarded(), place=Path.cwd(),
        )  # fmt: skip
        try:
            executor = submitit.AutoExecutor(folder=folder, cluster=own.cluster)
            executor.update_parameters(**self._parameters(job))
            told = folder / f"{job.folder.name}-{secrets.token_hex(4)}.json"
            return _SubmittedHandle(executor.submit(work, attempt, told), told, job, own.cluster)
        except (RuntimeError, OSError, submitit.core.utils.FailedJobError) as error:
            raise RunError(f"executor: submitit cannot submit a job ({error})") from error

    def _parameters(self, job: Job) -> dict[str, Any]:
        own = self.options
        seconds = math.inf if own.limit is None else own.limit + own.grace
        minutes = _LONGEST if math.isinf(seconds) else math.ceil(seconds / 60) + 1
        return {
            "name": job.folder.name, "timeout_min": minutes, "cpus_per_task": own.cpus, "nodes": 1,
            "tasks_per_node": 1, **({"gpus_per_node": own.gpus} if own.gpus else {}),
            **({} if own.memory is None else {"mem_gb": own.memory}),
            **{f"slurm_{key}": value for key, value in own.slurm.items()},
        }  # fmt: skip


@define
class _SubmittedHandle:
    """A submitted job. Its outcome is a file of ours: that of submitit is a pickle, which reading executes."""

    submitted: Any
    told: Path
    job: Job
    cluster: str
    ended: bool = False
    over: float | None = None

    def begun(self) -> bool:
        """See `Handle.begun`."""
        return str(self.submitted.state) not in ("PENDING", "UNKNOWN") or self.told.is_file()

    def poll(self) -> Outcome | Lost | None:
        """See `Handle.poll`."""
        over = self.submitted.done()
        if self.told.is_file():
            found = json.loads(self.told.read_text(encoding="utf-8"))
            self.ended = True
            return Outcome(job=self.job, **found)
        if not over:
            return None
        self.over = self.over or time.monotonic()
        if self.cluster != "local" and time.monotonic() < self.over + _SLOW:
            return None
        return Lost(f"job {self.submitted.job_id} ended without a word, state {self.submitted.state}")

    def stop(self) -> None:
        """See `Handle.stop`."""
        if not self.begun():
            self.submitted.cancel(check=False)
        elif self.cluster == "local":
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.kill(int(self.submitted.job_id), signal.SIGTERM)
        else:  # a plain scancel leaves it the 30 seconds of KillWait
            command = ["scancel", "--signal=TERM", str(self.submitted.job_id)]
            subprocess.run(command, check=False, capture_output=True)

    def kill(self) -> None:
        """See `Handle.kill`."""
        self.told.unlink(missing_ok=True)
        if not self.ended and not self.submitted.done():
            self.submitted.cancel(check=False)


def work(attempt: Attempt, told: Path) -> None:
    """What a job does: the try, and its outcome as a file.

    submitit has put in handlers of its own, of which that for SIGTERM ignores it, and that for SIGUSR2, which announces
    preemption and the end of the job's time, would end this process at once: both ask the cell to save here.
    """
    with stop_signals() as asked, _also(signal.SIGUSR2, asked.handle):
        outcome = attempt.run(asked)
    plain = {"code": outcome.code, "seconds": outcome.seconds, "said": outcome.said, "late": outcome.late}
    write_text(told, json.dumps(plain))


@contextlib.contextmanager
def _also(number: int, handler: Callable[[int, Any], None]) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
