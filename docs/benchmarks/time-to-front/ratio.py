"""What one epoch of `multimnist-one-epoch` takes of the ten epochs of `paper/multimnist-palora`, in turn, one thread.

    OMP_NUM_THREADS=1 python docs/benchmarks/time-to-front/ratio.py ROUNDS

Processor seconds of training alone, as a run's report has them. Of the ten epochs, which are alike, the first is run;
the paper's settings validate after each, which is left out on both sides.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

from moframework import load_spec, solve

EPOCHS = 10


def seconds(spec: str) -> float:
    """Processor seconds of an epoch."""
    with tempfile.TemporaryDirectory() as folder:
        solve(load_spec(spec, ["training.epochs=1", "evaluate.every=0"]), out=Path(folder) / "run")
        return float(json.loads((Path(folder) / "run" / "status.json").read_text())["processor_seconds"])


def main(rounds: int) -> None:
    """Print each round, and the medians."""
    found: dict[str, list[float]] = {"paper/multimnist-palora": [], "multimnist-one-epoch": []}
    for _ in range(rounds):
        for spec, taken in found.items():
            taken.append(seconds(spec))
        paper, soon = (taken[-1] for taken in found.values())
        sys.stdout.write(f"{paper:.1f} s an epoch, {soon:.1f} s in all: 1/{EPOCHS * paper / soon:.1f}\n")
        sys.stdout.flush()
    paper, soon = (statistics.median(taken) for taken in found.values())
    sys.stdout.write(f"medians: {EPOCHS * paper:.0f} s and {soon:.1f} s, 1/{EPOCHS * paper / soon:.1f}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
