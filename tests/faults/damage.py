"""Files of runs with flipped bits, cut short, and with blocks of zeros: read, and resumed from."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from moframework import Observer, ParetoModel, Progress, Run, solve
from moframework.engine.checkpoint import BEST, LAST, read_checkpoint
from moframework.errors import InterruptedRun, MoframeworkError
from moframework.run.splits import compare_splits
from tests.faults.children import SOLVERS, fork, spec
from tests.faults.result import Result

__all__ = ["KINDS", "resumes", "run"]


def _predicted(model: ParetoModel) -> Any:
    return model.predict(torch.zeros(1, *model.recipe.input_shape), [1, 1])


KINDS: Mapping[str, tuple[str, Callable[[Path], Any]]] = {
    "checkpoint": (f"checkpoints/{LAST}", lambda run: read_checkpoint(run / "checkpoints" / LAST)),
    "best checkpoint": (f"checkpoints/{BEST}", lambda run: read_checkpoint(run / "checkpoints" / BEST)),
    "weights of the model": ("model/model.safetensors", ParetoModel.load),
    "recipe of the model": ("model/model.json", ParetoModel.load),
    "preparation of the model": ("model/preparation.json", lambda run: _predicted(ParetoModel.load(run))),
    "front": ("front-test.json", lambda run: Run(run).front("test")),
    "history": ("history.json", lambda run: Run(run).history()),
    "spec of the run": ("spec.yaml", lambda run: Run(run).spec),
    "status": ("status.json", lambda run: Run(run).summary()),
    "environment": ("environment.json", lambda run: Run(run).environment()),
    "data record": (
        "data.json",
        lambda run: compare_splits(run / "data.json", {}),
    ),
}
"""Kind of file: where it lies in a run, and what reads it."""


def run(counts: tuple[int, int, int], seed: int, folder: Path) -> list[Result]:
    """Damage each kind of file so many times by a flipped bit, a cut, and a block of zeros."""
    made, said = folder / "run", folder / "said"
    # In a child: threads that a backward pass starts would not survive the forks of other sections.
    assert fork(partial(solve, spec(SOLVERS["palora"]), made), said).wait() == 0, said.read_text()
    results = []
    for kind, (name, read) in KINDS.items():
        result, draw, began = Result(kind), random.Random(f"{seed} {kind}"), time.monotonic()
        data = (made / name).read_bytes()
        for how, count in zip((_flipped, _cut, _zeroed), counts, strict=True):
            for number in range(count):
                (made / name).write_bytes(how(data, draw))
                result.mutants += 1
                _try(partial(read, made), made / name, result, f"{kind}, {how.__name__} {number} of seed {seed}")
        (made / name).write_bytes(data)
        read(made)
        result.seconds = time.monotonic() - began
        results.append(result)
    return results


def _try(read: Callable[[], Any], path: Path, result: Result, which: str) -> None:
    began = time.monotonic()
    try:
        read()
    except MoframeworkError as error:
        if str(path) in str(error):
            result.refused += 1
        else:
            result.offend("speechless", f"{which}: {str(error)[:200]}")
    except Exception as error:
        result.offend("raw", f"{which}: {type(error).__name__}: {str(error)[:200]}")
    else:
        result.offend("silent", which)
    took = time.monotonic() - began
    if took > result.slowest:
        result.slowest, result.slowest_mutant = took, which


def _flipped(data: bytes, draw: random.Random) -> bytes:
    bit = draw.randrange(8 * len(data))
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def _cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def _zeroed(data: bytes, draw: random.Random) -> bytes:
    """With a block of zeros that changes something."""
    while True:
        size = min(len(data), draw.choice([16, 512, 4096]))
        start = draw.randrange(len(data) - size + 1)
        made = data[:start] + bytes(size) + data[start + size :]
        if made != data:
            return made


def resumes(count: int, seed: int, folder: Path) -> Result:
    """Interrupt runs, damage their last checkpoint, resume them from the one before, and hold what they end in against
    a run that nothing disturbed."""
    result, draw, began = Result("resumes from the checkpoint before"), random.Random(seed), time.monotonic()
    whole: dict[str, bytes] = {}
    for number in range(count):
        name = list(SOLVERS)[number % len(SOLVERS)]
        if name not in whole:
            out = folder / f"{name}-whole"
            assert fork(partial(solve, spec(SOLVERS[name]), out), out.with_suffix(".said")).wait() == 0
            whole[name] = (out / "model" / "model.safetensors").read_bytes()
        out, step = folder / f"{name}-{number}", draw.randint(9, 39)
        fork(partial(_stopped, name, out, step), out.with_suffix(".said")).wait()
        last = out / "checkpoints" / LAST
        how = draw.choice((_flipped, _cut, _zeroed))
        last.write_bytes(how(last.read_bytes(), draw))
        result.mutants += 1
        which = f"{name} stopped at {step}, {how.__name__}, number {number} of seed {seed}"
        if fork(partial(solve, out, resume=True), out.with_suffix(".said")).wait() != 0:
            result.offend("raw", f"{which}: {out.with_suffix('.said').read_text()[-300:]}")
        elif (out / "model" / "model.safetensors").read_bytes() != whole[name]:
            result.offend("silent", which)
        elif "The checkpoint before it is used" not in (out / "log.txt").read_text():
            result.offend("speechless", which)
        else:
            result.accepted += 1
            shutil.rmtree(out)
    result.seconds = time.monotonic() - began
    return result


def _stopped(name: str, out: Path, step: int) -> None:
    class Stop(Observer):
        def stepped(self, progress: Progress) -> None:
            if progress.step == step:
                signal.raise_signal(signal.SIGTERM)

    try:
        solve(spec(SOLVERS[name]), out, observers=[Stop()])
    except InterruptedRun:
        return
    raise AssertionError("it was not interrupted")
