"""A long run: memory, open files, seconds a step, and the sizes of what it writes, from its beginning to its end."""

from __future__ import annotations

import re
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from moframework import Observer, Progress, solve
from tests.faults.children import fork
from tests.faults.result import Result

__all__ = ["run"]

_LARGEST_LOGS = 20 << 20
_SPEC: dict[str, Any] = {
    "name": "soak",
    "problem": {"name": "zdt1", "variables": 4},
    "solver": "pamal",
    "evaluate": {"points": 3, "every": 1},
}


class _Samples(Observer):
    """Memory, open files and time, ten times in a run."""

    def __init__(self, steps: int) -> None:
        self.every = max(1, steps // 10)
        self.rows: list[tuple[int, float, int, float]] = []

    def stepped(self, progress: Progress) -> None:
        if progress.step % self.every == 0:
            files = sum(1 for _ in Path("/proc/self/fd").iterdir())
            self.rows.append((progress.step, _resident(), files, time.perf_counter()))


def _resident() -> float:
    """MiB."""
    return int(re.findall(r"VmRSS:\s*(\d+)", Path("/proc/self/status").read_text())[0]) / 1024


def run(steps: int, evaluations: int, folder: Path) -> Result:
    """Train so many steps with so many validations, and hold the last part against the first."""
    out, table = folder / "soak", folder / "soak.npy"
    result, began = Result(f"{steps:,} steps with {evaluations:,} evaluations"), time.monotonic()
    result.mutants = 1
    child = fork(partial(_work, steps, evaluations, out, table), out.with_suffix(".said"))
    if child.wait(24 * 3600) != 0:
        result.offend("raw", out.with_suffix(".said").read_text()[-500:])
        return result
    rows = np.load(table)
    seconds = np.diff(rows[:, 3])
    grown, files = rows[-1, 1] - rows[1, 1], rows[-1, 2] - rows[1, 2]
    slower = float(np.median(seconds[-3:]) / np.median(seconds[:3]))
    logs = (out / "log.txt").stat().st_size + sum(path.stat().st_size for path in (out / "events").iterdir())
    result.examples.append(
        f"resident memory {rows[1, 1]:.0f} to {rows[-1, 1]:.0f} MiB, {files:+.0f} open files, the last three tenths at "
        f"{slower:.2f} of the time of the first three, {logs / 2**20:.1f} MiB of log and events"
    )
    faults = [grown > 32, files > 0, slower > 1.5, logs > _LARGEST_LOGS]
    if any(faults):
        result.offend("silent", "memory, files, time or logs grow")
    else:
        result.accepted = 1
    result.seconds = time.monotonic() - began
    return result


def _work(steps: int, evaluations: int, out: Path, table: Path) -> None:
    """One epoch is as many steps as lie between two evaluations."""
    samples = _Samples(steps)
    per_epoch = max(1, steps // evaluations)
    spec = {**_SPEC, "training": {"steps": steps, "batch_size": 1}}
    spec["problem"] = {**spec["problem"], "copies": per_epoch}
    run = solve(spec, out, observers=[samples])
    assert run.summary()["steps"] == steps
    np.save(table, np.array(samples.rows))
