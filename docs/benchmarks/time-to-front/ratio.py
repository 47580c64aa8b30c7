"""What one or two epochs of `multimnist-one-epoch` take of ten epochs with a paper's settings, in turn, one thread.

    OMP_NUM_THREADS=1 python docs/benchmarks/time-to-front/ratio.py ROUNDS PAGE.md

Processor seconds of training alone, as a run's report has them. Of the ten epochs, which are alike, the first is run;
the papers' settings validate after each, which is left out on both sides.
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
SOON = "multimnist-one-epoch"
PAIRS = {"paper/multimnist-palora": 1, "paper/multimnist-pamal": 2}  # epochs of SOON that end where these do


def seconds(spec: str, epochs: int) -> float:
    """Processor seconds of training."""
    with tempfile.TemporaryDirectory() as folder:
        solve(load_spec(spec, [f"training.epochs={epochs}", "evaluate.every=0"]), out=Path(folder) / "run")
        return float(json.loads((Path(folder) / "run" / "status.json").read_text())["processor_seconds"])


def main(rounds: int, page: str) -> None:
    """Write each round, and the medians, as a page."""
    found: dict[str, list[tuple[float, float]]] = {paper: [] for paper in PAIRS}
    for _ in range(rounds):
        for paper, epochs in PAIRS.items():
            found[paper].append((EPOCHS * seconds(paper, 1), seconds(SOON, epochs)))
    lines = [
        "# The papers' ten epochs, and one or two",
        "",
        f"Processor seconds of training, in turn, one thread; torch {torch.__version__}. Made by `ratio.py` beside it.",
    ]
    for paper, epochs in PAIRS.items():
        lines += ["", f"| round | ten epochs of `{paper}` | {epochs} of `{SOON}` | ratio |", "|---|---|---|---|"]
        rows = [(str(number), *both) for number, both in enumerate(found[paper], 1)]
        rows.append(("medians", *(statistics.median(times) for times in zip(*found[paper], strict=True))))
        lines += [f"| {name} | {before:.0f} | {soon:.1f} | 1/{before / soon:.1f} |" for name, before, soon in rows]
    Path(page).write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
