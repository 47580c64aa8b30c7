"""What can end a run, made to happen: signals in each phase, disks, folders, data, loaders, memory, other processes.

Each case starts a run that is to end badly, and says in words what is wrong with how it ended, or nothing.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from moframework import Front, Observer, ParetoModel, Progress, Run, solve
from moframework.engine import checkpoint
from moframework.engine.evaluate import Evaluator
from moframework.problem.base import Problem
from moframework.run import solving
from tests.faults.children import SOLVERS, Child, fork, spec
from tests.faults.result import Result

__all__ = ["CASES", "run"]

_SLOW = 0.5  # seconds that a phase is held up, for a signal to come in it


def run(folder: Path) -> list[Result]:
    """Each case once, with what is found wrong with it."""
    results = []
    for name, case in CASES.items():
        result, began = Result(name), time.monotonic()
        result.mutants = 1
        try:
            fault = case(folder / re.sub(r"\W+", "-", name))
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
        if fault is None:
            result.refused = 1
        else:
            result.offend("raw", fault)
        result.seconds = time.monotonic() - began
        results.append(result)
    return results


def _hold(where: Any, name: str, mark: Path, nth: int = 1) -> None:
    """Hold up the nth call of a function, and leave a mark when it comes."""
    original, left = getattr(where, name), [nth]

    def held(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            mark.touch()
            end = time.monotonic() + _SLOW
            while time.monotonic() < end:
                time.sleep(0.01)
        return original(*arguments, **options)

    setattr(where, name, held)


PHASES: Mapping[str, tuple[Any, str, int]] = {
    "reading the data": (solving, "describe_splits", 1),
    "evaluating the untrained network": (solving, "untrained_losses", 1),
    "a step": (Problem, "check", 1),
    "a validation": (Evaluator, "front", 1),
    "writing a checkpoint": (checkpoint, "save_plain", 2),
    "the final evaluation": (solving, "calibration_data", 1),
    "writing the model": (ParetoModel, "save", 1),
    "writing the fronts": (Front, "save", 1),
}
"""What is held up in a phase: an object, the name of its function, and which call of it."""


def _signaled(number: signal.Signals, phase: str, out: Path) -> str | None:
    """A signal in a phase ends the run in order; resumed, it is done."""
    where, name, nth = PHASES[phase]
    mark = out.with_suffix(".mark")
    changes: dict[str, Any] = {}
    if phase == "evaluating the untrained network":  # which a problem with a reference point does not need
        changes["solver"] = "pamal"

    class Touch(Observer):
        def stepped(self, progress: Progress) -> None:
            if progress.step == 9:
                mark.touch()
                time.sleep(_SLOW)

    def work() -> None:
        if phase != "a step":
            _hold(where, name, mark, nth)
        if phase == "evaluating the untrained network":
            solving.Plan.reference = None  # type: ignore[assignment]
        solve(spec(SOLVERS["palora"]), out, observers=[Touch()] if phase == "a step" else [])

    child = fork(work, out.with_suffix(".said"))
    _wait(mark.is_file, child)
    child.send(number)
    child.wait()
    words = out.with_suffix(".said").read_text()
    if f"as {number.name} asked" not in words and "as asked; everything is saved" not in words:
        return f"it said {words[-200:]}"
    if phase == "reading the data":
        return "a folder was left" if out.exists() else None
    return _recorded(out, "interrupted", "asked")


def _wait(condition: Callable[[], bool], child: Child, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition() and not child.ended:
        if time.monotonic() > end:
            raise TimeoutError("what was waited for did not come")
        time.sleep(0.01)


def _recorded(out: Path, status: str, words: str, *, resumes: bool = True) -> str | None:
    """What is wrong with how a run ended, or nothing: status, message, traceback, and whether it goes on."""
    found = Run(out)
    if found.status != status:
        return f"its status is {found.status}"
    message = str(found.summary().get("message", ""))
    if words not in message:
        return f"its message is {message}"
    log = (out / "log.txt").read_text() if (out / "log.txt").is_file() else ""
    if status == "failed" and "Traceback" not in log:
        return "its log has no traceback"
    if not resumes:
        return None
    said = out.with_suffix(".resumed")
    if fork(partial(solve, out, resume=True), said).wait() != 0:
        return f"it could not be resumed: {said.read_text()[-300:]}"
    return None if Run(out).status == "done" else "it was resumed and is not done"


class _At(Observer):
    """Does something at a step."""

    def __init__(self, step: int, action: Callable[[], object]) -> None:
        self.step, self.action = step, action

    def stepped(self, progress: Progress) -> None:
        if progress.step == self.step:
            self.action()


def _second_signal(out: Path) -> str | None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    began = time.monotonic()
    fork(partial(solve, spec(SOLVERS["palora"]), out, observers=[_At(9, twice)]), out.with_suffix(".said")).wait()
    if time.monotonic() - began > 60:
        return "it took more than a minute"
    return _recorded(out, "interrupted", "stopped while training")


def _read_only(out: Path) -> str | None:
    """Even root cannot make a folder below a file, nor in /proc."""
    said = out.with_suffix(".said")
    where = Path("/proc/run")
    if os.geteuid() != 0:
        out.mkdir(mode=0o500)
        where = out / "run"
    if fork(partial(solve, spec(SOLVERS["palora"]), where), said).wait() == 0:
        return "it was written"
    return None if "cannot be written" in said.read_text() else said.read_text()[-300:]


@contextmanager
def _small_disk(out: Path, megabytes: int) -> Iterator[None]:
    """A disk of its own below `out`; only root can make one."""
    out.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", out], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", out], check=True)


def _full_disk(out: Path) -> str | None:
    said = out.with_suffix(".said")
    with _small_disk(out, 4):
        run, filling = out / "run", out / "filling"

        def fill() -> None:
            free = shutil.disk_usage(out).free
            filling.write_bytes(bytes(max(0, free - 64 * 1024)))

        fork(partial(solve, spec(SOLVERS["palora"]), run, observers=[_At(9, fill)]), said).wait()
        found = Run(run)
        if found.status != "failed" or "is full" not in found.summary()["message"]:
            return f"its status is {found.status}; {said.read_text()[-200:]}"
        filling.unlink()  # its log had no room for a traceback
        if fork(partial(solve, run, resume=True), said).wait() != 0:
            return f"it could not be resumed: {said.read_text()[-300:]}"
        return None if found.status == "done" else f"it was resumed and is {found.status}"


def _removed_folder(out: Path) -> str | None:
    said = out.with_suffix(".said")
    remove = _At(9, lambda: shutil.rmtree(out))
    fork(partial(solve, spec(SOLVERS["palora"]), out, observers=[remove]), said).wait()
    return None if "was removed while it was being solved" in said.read_text() else said.read_text()[-300:]


def _npz(path: Path) -> dict[str, Any]:
    x = np.linspace(0, 1, 240, dtype=np.float32).reshape(120, 2)
    np.savez(path, inputs=x, up=x[:, 0], down=-x[:, 0], split=np.repeat([0, 1, 2], 40))
    return spec(
        SOLVERS["palora"],
        problem={
            "data": {"name": "npz", "path": str(path)},
            "backbone": {"name": "mlp", "hidden": [8]},
            "tasks": {"up": {"loss": "mse"}, "down": {"loss": "mse"}},
        },
    )


def _removed_data(out: Path) -> str | None:
    """Data that is in memory may go while a run trains; a resume without it is told, and goes on when it is back."""
    path = out.with_suffix(".npz")
    content = _npz(path)

    def remove() -> None:
        path.unlink()
        os.kill(os.getpid(), signal.SIGTERM)

    fork(partial(solve, content, out, observers=[_At(9, remove)]), out.with_suffix(".said")).wait()
    if Run(out).status != "interrupted":
        return f"its status is {Run(out).status}"
    said = out.with_suffix(".without")
    if fork(partial(solve, out, resume=True), said).wait() == 0 or path.name not in said.read_text():
        return f"without its data it said {said.read_text()[-300:]}"
    _npz(path)
    status = Run(out).status
    return _recorded(out, status, path.name if status == "failed" else "asked")


class SlowItems(torch.utils.data.Dataset[Any]):
    """Items that take a while to load, so that a process that loads them can be found."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> Any:
        time.sleep(0.002)
        return torch.full((2,), index / 64), {"up": torch.tensor([index / 64]), "down": torch.tensor([-index / 64])}


def _killed_loader(out: Path) -> str | None:
    content = _npz(out.with_suffix(".npz"))
    content["training"] = {**content["training"], "workers": 1, "resident": False}
    from moframework.problem.declared import Declared

    def kill() -> None:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGKILL)

    def work() -> None:
        own = Declared.data

        def data(self: Any, split: Any) -> Any:
            return SlowItems() if split == "train" else own(self, split)

        Declared.data = data  # type: ignore[method-assign]
        solve(content, out, observers=[_At(5, kill)])

    said = out.with_suffix(".said")
    fork(work, said).wait()
    return _recorded(out, "failed", "a process that loads data was killed", resumes=False) or (
        None if "Lower training.workers" in Run(out).summary()["message"] else "it does not say what to lower"
    )


def _memory(out: Path) -> str | None:
    said = out.with_suffix(".said")

    def less() -> None:
        used = int(re.findall(r"VmSize:\s*(\d+)", Path("/proc/self/status").read_text())[0]) * 1024
        resource.setrlimit(resource.RLIMIT_AS, (used + (8 << 20), resource.RLIM_INFINITY))
        torch.ones(1 << 28)  # what the step needs may have been there before

    content = spec(SOLVERS["pamal"])
    content["problem"] = {"name": "digits", "train": 1024, "val": 32, "test": 32}
    content["training"] = {**content["training"], "batch_size": 1024, "steps": 20}
    fork(partial(solve, content, out, observers=[_At(9, less)]), said).wait()
    return _recorded(out, "failed", "out of memory", resumes=False) or (
        None if "Lower training.batch_size" in Run(out).summary()["message"] else "it does not say what to lower"
    )


def _killed_rank(rank: int, out: Path) -> str | None:
    """Of two processes one is killed: the other ends within a minute, and the run says why."""
    script = out.with_suffix(".py")
    script.write_text(
        "import os, signal, sys\nfrom moframework import Observer, solve\n"
        "from tests.faults.children import SOLVERS, spec\n"
        "class Kill(Observer):\n    def stepped(self, progress):\n        if progress.step == 9: "
        f"os.kill(os.getpid() if {rank} == 0 else other(), signal.SIGKILL)\n"
        "def other():\n    parent = f'/proc/{os.getppid()}/task/{os.getppid()}/children'\n"
        "    return next(int(p) for p in open(parent).read().split() if int(p) != os.getpid())\n"
        "solve(spec(SOLVERS['palora']), sys.argv[1], observers=[Kill()])\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script, out]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    began = time.monotonic()
    with out.with_suffix(".said").open("w") as said:
        subprocess.run(command, env=environment, stdout=said, stderr=said, check=False, timeout=300)
    took = time.monotonic() - began
    status, message = Run(out).status, str(Run(out).summary().get("message", ""))
    if took > 180:
        return f"it took {took:.0f} s"
    if "ended without a word" not in message and "ended without a word" not in out.with_suffix(".said").read_text():
        return f"nobody says why; status {status}, message {message}"
    return _recorded(out, status, message)


CASES: Mapping[str, Callable[[Path], str | None]] = {
    **{f"SIGTERM in {phase}": partial(_signaled, signal.SIGTERM, phase) for phase in PHASES},
    **{f"SIGINT in {phase}": partial(_signaled, signal.SIGINT, phase) for phase in ("a step", "the final evaluation")},
    "a second signal": _second_signal,
    "a folder that is read-only": _read_only,
    "a full disk": _full_disk,
    "a run folder that is removed": _removed_folder,
    "data that is removed": _removed_data,
    "a loader process that is killed": _killed_loader,
    "a memory limit": _memory,
    "a first process that is killed": partial(_killed_rank, 0),
    "another process that is killed": partial(_killed_rank, 1),
}
"""What happens to a run → a function from its folder to what was wrong with its end, or None."""
