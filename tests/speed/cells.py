"""Processor time of a benchmark's twenty cells of `digits`, forked over started anew, one after the other.

python -m tests.speed.cells          # some minutes
python -m tests.speed.cells 4        # fewer cells
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from moframework.benchmark.loading import load_benchmark
from moframework.benchmark.running import run_benchmark

SPEC = {
    "problems": ["digits"],
    "solvers": [{"name": "palora", "rank": 4, "preferences": {"name": "annealed", "per_batch": 4, "batch": "split"}}],
    "training": {"epochs": 5, "batch_size": 128, "optimizer": {"name": "adam", "lr": 2e-3}},
    "evaluate": {"every": 0},
}


def seconds(start: str, cells: int) -> float:
    """Processor seconds of all processes that a benchmark of so many seeds starts."""
    spec = {**SPEC, "seeds": list(range(cells)), "executor": {"name": "local", "threads": 1, "start": start}}
    before = os.times()
    with tempfile.TemporaryDirectory() as folder:
        results = run_benchmark(load_benchmark(spec), Path(folder) / "out")
    if results.failed:
        raise SystemExit(results.failed[0])
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main(cells: int = 20) -> None:
    """Print both and their ratio."""
    found = {start: seconds(start, cells) for start in ("new", "fork")}
    print(f"{cells} cells: {found}, ratio {found['fork'] / found['new']:.3f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
