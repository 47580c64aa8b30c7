"""Processes killed at random instants, and inside the writing of each kind of file; resumed, and compared."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from moframework import Observer, Progress, solve
from moframework.io import atomic, tensors
from tests.faults.children import SOLVERS, Child, fork, spec
from tests.faults.result import Result

__all__ = ["run"]

_FILES = ("last", "best", "model", "front-", "history", "status", "spec", "data")
"""Parts of the names of files in whose writing a process is killed."""
_POINTS = ("begun", "written", "flushed", "kept", "named")
_COMPARED = (
    "model/model.safetensors",
    "model/model.json",
    "model/preparation.json",
    "front-val.json",
    "front-test.json",
    "history.json",
    "spec.yaml",
    "data.json",
)


def run(count: int, seed: int, folder: Path) -> Result:
    """Kill `count` processes, over all solvers; each run is resumed, and killed again, until it has had its kills.

    Args:
        folder: for the runs.
    """
    result, draw, began = Result(f"SIGKILL over {len(SOLVERS)} solvers"), random.Random(seed), time.monotonic()
    whole: dict[str, dict[str, bytes]] = {}
    number = 0
    while result.mutants < count:
        name = list(SOLVERS)[number % len(SOLVERS)]
        number += 1
        if name not in whole:
            whole[name] = _whole(name, folder)
        out = folder / f"{name}-{number}"
        kills = [_kill(name, out, draw, result) for _ in range(draw.randint(1, 3))]
        what = f"run {number} of seed {seed}: {name}, {', '.join(kills)}"
        child = fork(partial(_solve, name, out), out.with_suffix(".said"))
        _judge(child, what, out, whole[name], result)
    if not result.examples:  # a kill is as it should be when its run is
        result.accepted = result.mutants
    result.seconds = time.monotonic() - began
    return result


def _whole(name: str, folder: Path) -> dict[str, bytes]:
    """What a run leaves that is not disturbed."""
    out = folder / f"{name}-whole"
    assert fork(partial(_solve, name, out), out.with_suffix(".said")).wait() == 0, out.with_suffix(".said").read_text()
    return {file: (out / file).read_bytes() for file in _COMPARED}


def _solve(name: str, out: Path, before: Callable[[], Any] = lambda: None) -> None:
    before()
    solve(spec(SOLVERS[name]), out, resume=out.is_dir())


def _kill(name: str, out: Path, draw: random.Random, result: Result) -> str:
    """Start or resume a run and kill it; words on where. A run that was too fast counts for nothing."""
    if draw.random() < 0.5:
        step = draw.randint(1, 40)
        where, before = f"at step {step}", partial(_at_step, name, out, step, draw.random() * 0.03)
        child = fork(before, out.with_suffix(".said"))
    else:
        file, point, nth = draw.choice(_FILES), draw.choice(_POINTS), draw.randint(1, 6)
        where = f"writing {file} for the {nth}. time, {point}"
        child = fork(partial(_solve, name, out, partial(_in_write, file, point, nth)), out.with_suffix(".said"))
    code = child.wait()
    if code == -signal.SIGKILL:
        result.mutants += 1
        return where
    if code != 0:  # it was to be killed, or to end well before that
        result.offend("raw", f"{name} {where}: {out.with_suffix('.said').read_text()[-500:]}")
    return f"not {where}"


def _at_step(name: str, out: Path, step: int, pause: float) -> None:
    """Solve, and be killed so many seconds after a step."""

    class Kill(Observer):
        def stepped(self, progress: Progress) -> None:
            if progress.step == step:
                _die_after(pause)

    solve(spec(SOLVERS[name]), out, resume=out.is_dir(), observers=[Kill()])


def _die_after(seconds: float) -> None:
    victim = os.getpid()
    if os.fork() == 0:  # a process that waits, while the other goes on
        time.sleep(seconds)
        os.kill(victim, signal.SIGKILL)
        os._exit(0)


def _in_write(file: str, point: str, nth: int) -> None:
    """From now on, die in the nth writing of a file with such a name."""
    left = [nth]

    def die(path: object, here: str) -> None:
        if here == point and file in str(path).rpartition("/")[2]:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    flush, replace, link = atomic._flush, Path.replace, os.link

    def flushing(path: Path) -> None:
        die(path, "written")
        flush(path)
        die(path, "flushed")

    def replacing(self: Path, target: Any) -> Path:
        made = replace(self, target)
        die(target, "named")
        return made

    def linking(source: Any, target: Any, **options: Any) -> None:
        link(source, target, **options)
        die(source, "kept")

    atomic._flush, Path.replace, os.link = flushing, replacing, linking  # type: ignore[assignment,method-assign]
    seal, save = tensors.seal_zip, tensors.save_file

    def sealing(path: Path) -> None:
        die(path, "begun")
        seal(path)

    def saving(content: Any, path: Any) -> None:
        Path(path).write_bytes(b"half")
        die(path, "begun")
        save(content, path)

    tensors.seal_zip, tensors.save_file = sealing, saving  # type: ignore[assignment]


def _judge(child: Child, what: str, out: Path, whole: dict[str, bytes], result: Result) -> None:
    said = out.with_suffix(".said")
    try:
        code = child.wait()
    except TimeoutError as error:
        result.offend("raw", f"{what}: {error}")
        return
    if code != 0:
        result.offend("raw", f"{what}: lost; {said.read_text()[-500:]}")
        return
    other = [file for file, data in whole.items() if (out / file).read_bytes() != data]
    left = [path.name for path in out.rglob(".unfinished-*")]
    modes = {path.stat().st_mode & 0o777 for path in out.rglob("*") if path.is_file()}
    if other or left or len(modes) > 1:
        result.offend("silent", f"{what}: other {other}, left {left}, modes {modes}")
    else:
        shutil.rmtree(out)
