"""One try at a cell by a worker of a cluster: in a folder of its own, which takes the cell's place when it has ended.

A worker can die, be taken for dead while it goes on, or finish after its driver has left. So no two ever write in one
folder: a try works beside the cell's folder, goes on from what an earlier one has saved there, and its folder is
renamed into the cell's place as a whole. Nothing here knows which cluster it is.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import define, frozen

from moframework.benchmark.executor import Job, Outcome
from moframework.io.atomic import move_into_place
from moframework.io.lock import is_held
from moframework.io.sealed import read_json
from moframework.run.signals import PARENT

__all__ = ["Attempt", "forwarded", "gather", "is_done", "said"]

_PAUSE = 0.1  # seconds between two looks at the process
_LONGEST = 2000  # characters kept of what a command said
_STOPPED = 130
_SPEC, _STATUS = "spec.yaml", "status.json"


def forwarded() -> dict[str, str]:
    """The variables of this process that a cell needs on another machine: ours, and where Python finds modules."""
    return {k: v for k, v in os.environ.items() if k.startswith("MOFRAMEWORK_") or k == "PYTHONPATH"}


@frozen(kw_only=True)
class Attempt:
    """A try at a cell, as it is handed to a worker.

    Attributes:
        job: the cell's; its folder lies on a disk that driver and worker share.
        threads: of the numerical libraries.
        hide_gpus: whether the cell was given no GPU, so that it must not see those of its machine.
        limit: seconds that it may take, waiting for an earlier try included; None: any.
        grace: seconds that it has to end by itself after it was asked to.
        environment: variables beside those of the worker.
        place: the driver's working folder, in which modules of the user may lie.
    """

    job: Job
    threads: int
    hide_gpus: bool
    limit: float | None
    grace: float
    environment: Mapping[str, str]
    place: Path

    def run(self, stop: Callable[[], bool]) -> Outcome:
        """Run the cell's command here, and put what it has left into place.

        Args:
            stop: asked ten times a second; once it says yes, the command is sent SIGTERM, upon which it saves.

        Returns:
            How it ended. A cell that is done by now, since an earlier try was alive after all, has code 0.
        """
        began = time.monotonic()
        folder = self.job.folder
        if not (folder / _SPEC).is_file():
            text = (
                f"this worker does not see {folder}: the benchmark's folder (--out) must lie on a disk that the driver "
                "and all machines of the cluster share, under the same path"
            )
            return Outcome(job=self.job, code=1, seconds=0.0, said=text)
        watch = _Watch(began, self.limit, self.grace, stop)
        if not self._wait_for_others(watch):
            return self._ended(_STOPPED, watch, "")
        if is_done(folder):
            return self._ended(0, watch, "")
        made = self._take_over()
        with self.job.log.open("ab") as log:
            before = log.tell()
            code = self._execute(made, watch, log.fileno())
        _put_into_place(made, folder)
        return self._ended(code, watch, said(self.job.log, before))

    def _ended(self, code: int, watch: _Watch, text: str) -> Outcome:
        seconds = time.monotonic() - watch.began
        return Outcome(job=self.job, code=code, seconds=seconds, said=text, late=watch.late)

    def _wait_for_others(self, watch: _Watch) -> bool:
        """Wait while an earlier try is alive, which a driver that was killed may have left; False: asked to end."""
        while any(is_held(other) for other in (*_tries(self.job.folder), self.job.folder)):
            if watch.asks_to_end():
                return False
            time.sleep(_PAUSE)
        return True

    def _take_over(self) -> Path:
        """A folder of this try, with what the latest one before has saved."""
        folder = self.job.folder
        made = folder.with_name(f".try-{secrets.token_hex(4)}-{folder.name}")
        spec = (folder / _SPEC).read_bytes()
        earlier = [path for path in (*_tries(folder), folder) if (path / _STATUS).is_file()]
        with contextlib.suppress(FileNotFoundError):  # another worker was faster
            if earlier:
                earlier[0].rename(made)
        made.mkdir(exist_ok=True)
        (made / _SPEC).write_bytes(spec)
        return made

    def _execute(self, made: Path, watch: _Watch, log: int) -> int:
        """Run the command on the folder of this try; its exit code."""
        program, *arguments = self.job.command
        command = [program if Path(program).exists() else sys.executable]  # Python may lie elsewhere on this machine
        command += [argument.replace(str(self.job.folder), str(made)) for argument in arguments]
        environment = {
            **os.environ, **self.environment, "OMP_NUM_THREADS": str(self.threads), PARENT: str(os.getpid()),
            **({"CUDA_VISIBLE_DEVICES": ""} if self.hide_gpus else {}),
        }  # fmt: skip
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
            cwd=self.place if self.place.is_dir() else self.job.folder.parent,
        )  # fmt: skip
        try:
            while process.poll() is None:
                if watch.asks_to_end():
                    if watch.patience() > 0:
                        process.terminate()
                        with contextlib.suppress(subprocess.TimeoutExpired):
                            process.wait(watch.patience())
                    process.kill()
                    process.wait()
                time.sleep(_PAUSE)
        finally:
            process.kill()
            process.wait()
        return process.returncode


@define
class _Watch:
    """When a try has to end."""

    began: float
    limit: float | None
    grace: float
    stop: Callable[[], bool]
    asked: float | None = None
    late: bool = False

    def asks_to_end(self) -> bool:
        """Whether somebody has asked, or the time is over."""
        if self.asked is None:
            self.late = time.monotonic() - self.began > (math.inf if self.limit is None else self.limit)
            if self.late or self.stop():
                self.asked = time.monotonic()
        return self.asked is not None

    def patience(self) -> float:
        """Seconds left until the process is killed, once it was asked to end."""
        return 0.0 if self.asked is None else max(0.0, self.asked + self.grace - time.monotonic())


def is_done(folder: Path) -> bool:
    """Whether a run folder says that its run is done."""
    try:
        return bool(read_json(folder / _STATUS, advice="").get("status") == "done")
    except Exception:  # absent or damaged: a try makes it anew
        return False


def gather(job: Job) -> None:
    """Put the latest try of a cell that nobody works at any more into the cell's place, so that it can be resumed."""
    if is_done(job.folder):
        return
    for made in _tries(job.folder):
        if not is_held(made) and (made / _STATUS).is_file():
            _put_into_place(made, job.folder)
            return


def said(log: Path, before: int) -> str:
    """What was written to the log since it had `before` bytes; its end, when it is long."""
    with log.open("rb") as file:
        file.seek(before)
        text = file.read().decode(errors="replace").strip()
    return text if len(text) <= _LONGEST else f"…{text[-_LONGEST:]}"


def _tries(folder: Path) -> list[Path]:
    """The folders of tries at a cell, the latest first."""
    found = []
    for path in folder.parent.glob(f".try-*-{folder.name}"):
        with contextlib.suppress(OSError):  # it was moved away just now
            found.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(found, reverse=True)]


def _put_into_place(made: Path, folder: Path) -> None:
    """Let a try's folder take the place of the cell's, unless that is done by now, and remove what is left over."""
    if is_done(folder):
        shutil.rmtree(made, ignore_errors=True)
    else:
        former = folder.with_name(f".old-{secrets.token_hex(4)}-{folder.name}")
        with contextlib.suppress(FileNotFoundError):
            folder.rename(former)
        move_into_place(made, folder)
        shutil.rmtree(former, ignore_errors=True)
    for other in _tries(folder):
        if not is_held(other):
            shutil.rmtree(other, ignore_errors=True)
