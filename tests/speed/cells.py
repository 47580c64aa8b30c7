"""Processor time of a benchmark's twenty cells of `digits`, or of another problem, forked over started anew, one after
the other.

python -m tests.speed.cells                     # some minutes
python -m tests.speed.cells 4                   # fewer cells
python -m tests.speed.cells 20 CHECKOUT         # over those of an earlier version of the package, such as 7b45f91c,
                                                # the last one that started a process anew for each cell
python -m tests.speed.cells 6 CHECKOUT census   # one epoch of Census (age, education), whose table is large
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SPECS: dict[str, dict[str, Any]] = {
    "digits": {
        "problems": ["digits"],
        "solvers": [
            {"name": "palora", "rank": 4, "preferences": {"name": "annealed", "per_batch": 4, "batch": "split"}}
        ],
        "training": {"epochs": 5, "batch_size": 128, "optimizer": {"name": "adam", "lr": 2e-3}},
        "evaluate": {"every": 0},
    },
    "census": {
        "problems": [{"name": "census", "tasks": ["age", "education"], "masters": False}],
        "solvers": [{"name": "palora", "rank": 8, "preferences": {"per_batch": 1, "batch": "shared"}}],
        "training": {"epochs": 1, "batch_size": 128, "optimizer": {"name": "adam", "lr": 6e-3}},
        "evaluate": {"every": 0},
    },
}
PROGRAM = """
import json, os, sys, tempfile
from pathlib import Path
from moframework.benchmark.loading import load_benchmark
from moframework.benchmark.running import run_benchmark
before = os.times()
with tempfile.TemporaryDirectory() as folder:
    results = run_benchmark(load_benchmark(json.loads(sys.argv[1])), Path(folder) / "out")
if results.failed:
    raise SystemExit(results.failed[0])
after = os.times()
print(after.children_user + after.children_system - before.children_user - before.children_system)
"""
HERE = Path(__file__).parents[2]


def seconds(cells: int, checkout: Path, problem: str, **executor: Any) -> float:
    """Processor seconds of all processes that a benchmark of so many seeds starts, with the package in a checkout."""
    spec = {**SPECS[problem], "seeds": list(range(cells)), "executor": {"name": "local", "threads": 1, **executor}}
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    command = [sys.executable, "-c", PROGRAM, json.dumps(spec)]
    done = subprocess.run(command, env=environment, cwd=checkout, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def main(number: str = "20", earlier: str | None = None, problem: str = "digits") -> None:
    """Print both and their ratio."""
    cells = int(number)
    before = seconds(cells, Path(earlier).resolve(), problem) if earlier else seconds(cells, HERE, problem, start="new")
    now = seconds(cells, HERE, problem)
    print(f"{cells} cells, processor seconds: {now:.1f} forked, {before:.1f} before, ratio {now / before:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
