"""What an epoch or more of `multimnist-one-epoch` takes of ten epochs with a paper's settings, in turn, one thread.

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
EPOCH = 781  # steps of SOON
# Steps of SOON that end, on each of five seeds, above what these end with; an epoch, and one and a quarter.
PAIRS = {"paper/multimnist-palora": EPOCH, "paper/multimnist-pamal": 977}


def seconds(spec: str, *budget: str) -> float:
    """Processor seconds of training."""
    with tempfile.TemporaryDirectory() as folder:
        solve(load_spec(spec, [*budget, "evaluate.every=0"]), out=Path(folder) / "run")
        return float(json.loads((Path(folder) / "run" / "status.json").read_text())["processor_seconds"])


def main(rounds: int, page: str) -> None:
    """Write each round, and the medians, as a page."""
    found: dict[str, list[tuple[float, float]]] = {paper: [] for paper in PAIRS}
    for _ in range(rounds):
        for paper, steps in PAIRS.items():
            soon = seconds(SOON, "training.epochs=null", f"training.steps={steps}")
            found[paper].append((EPOCHS * seconds(paper, "training.epochs=1"), soon))
    lines = [
        "# The papers' ten epochs, and one, or one and a quarter",
        "",
        f"Processor seconds of training, in turn, one thread; torch {torch.__version__}. Made by `ratio.py` beside it.",
    ]
    for paper, steps in PAIRS.items():
        soon = f"{steps / EPOCH:.3g} of `{SOON}`"
        lines += ["", f"| round | ten epochs of `{paper}` | {soon} | ratio |", "|---|---|---|---|"]
        rows = [(str(number), *both) for number, both in enumerate(found[paper], 1)]
        rows.append(("medians", *(statistics.median(times) for times in zip(*found[paper], strict=True))))
        lines += [f"| {name} | {before:.0f} | {soon:.1f} | 1/{before / soon:.1f} |" for name, before, soon in rows]
    Path(page).write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
