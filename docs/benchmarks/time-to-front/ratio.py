"""What one epoch of `multimnist-one-epoch` takes of the ten epochs of `paper/multimnist-palora`, in turn, one thread.

    OMP_NUM_THREADS=1 python docs/benchmarks/time-to-front/ratio.py ROUNDS PAGE.md

Processor seconds of training alone, as a run's report has them. Of the ten epochs, which are alike, the first is run;
the paper's settings validate after each, which is left out on both sides.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

import torch

from moframework import load_spec, solve

EPOCHS = 10


def seconds(spec: str) -> float:
    """Processor seconds of an epoch."""
    with tempfile.TemporaryDirectory() as folder:
        solve(load_spec(spec, ["training.epochs=1", "evaluate.every=0"]), out=Path(folder) / "run")
        return float(json.loads((Path(folder) / "run" / "status.json").read_text())["processor_seconds"])


def main(rounds: int, page: str) -> None:
    """Write each round, and the medians, as a page."""
    found: dict[str, list[float]] = {"paper/multimnist-palora": [], "multimnist-one-epoch": []}
    lines = [
        "# One epoch against ten",
        "",
        f"Processor seconds of training, in turn, one thread; torch {torch.__version__}. Made by `ratio.py` beside it.",
        "",
        "| round | ten epochs of `paper/multimnist-palora` | `multimnist-one-epoch` | ratio |",
        "|---|---|---|---|",
    ]
    for number in range(1, rounds + 1):
        for spec, taken in found.items():
            taken.append(seconds(spec))
        lines.append(_row(str(number), *(taken[-1] for taken in found.values())))
    lines.append(_row("medians", *(statistics.median(taken) for taken in found.values())))
    Path(page).write_text("\n".join([*lines, ""]), encoding="utf-8")


def _row(name: str, paper: float, soon: float) -> str:
    return f"| {name} | {EPOCHS * paper:.0f} | {soon:.1f} | 1/{EPOCHS * paper / soon:.1f} |"


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
