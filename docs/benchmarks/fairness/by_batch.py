"""Hypervolumes on Adult of `benchmarks/fairness` as COSMOS's code scores: decisions, batch by batch, and their mean.

    MOFRAMEWORK_DATA=… python docs/benchmarks/fairness/by_batch.py FOLDER PAGE.md

FOLDER is the folder of the benchmark. The saved models are asked for the test rows, shuffled once, in batches of 256.
Cross-entropy, and the difference between the groups in the number of persons of class 1 who get a positive decision,
over the batch size, are taken of each batch and averaged.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from moframework import Run, get_problem
from moframework.config import unstructure
from moframework.pareto.indicators import hypervolume

BATCH = 256
POINTS = ((1.0, 1.0), (2.0, 2.0))
KINDS = ("losses", "decisions, mean over batches", "decisions, at once")
NOTE = """Hypervolumes on the test split by reference point, mean ± sample standard deviation over the seeds.

- losses: cross-entropy, and the difference of chances between the groups (DEO), over the whole split
- decisions, mean over batches: cross-entropy, and the difference of decisions, in shuffled batches of 256, averaged
- decisions, at once: the same over the whole split"""


def scores(logits: Tensor, label: Tensor, group: Tensor) -> tuple[float, float]:
    """Cross-entropy and difference of one batch."""
    hits = [int(((logits > 0) & (label == 1) & (group == one)).sum()) for one in (0, 1)]
    return float(binary_cross_entropy_with_logits(logits, label)), abs(hits[0] - hits[1]) / len(logits)


def fronts(folder: Path) -> dict[str, list[float]]:
    """The hypervolumes of a run: by batch, and over the whole split at once."""
    run = Run(folder)
    front, model = run.front("test"), run.model().eval()
    data = get_problem("adult", preparation="cosmos", split="cosmos", form="published").data("test")
    label, group = data.targets["equal_opportunity"].float().unbind(dim=1)
    order = torch.randperm(len(label), generator=torch.Generator().manual_seed(0)).split(BATCH)
    batches = []
    for preference in front.preferences:
        with torch.no_grad():
            logits = model(data.inputs, preference)["income"][:, 0]
        batches.append(np.mean([scores(logits[own], label[own], group[own]) for own in order], axis=0))
    whole = np.stack([front.losses[:, 0], front.metrics["equal_opportunity/equal_opportunity_published"]], axis=1)
    found = dict(zip(KINDS, (front.losses, np.array(batches), whole), strict=True))
    return {kind: [hypervolume(points, reference) for reference in POINTS] for kind, points in found.items()}


def main(folder: Path, page: Path) -> None:
    """Write a page with mean and standard deviation over the seeds of each solver."""
    found: dict[str, list[dict[str, list[float]]]] = {}
    for path in sorted((folder / "cells" / "adult").glob("*/*/status.json")):
        objective = Run(path.parent).spec.solver.objective
        name = f"{path.parts[-3]} ({unstructure(objective)['name']})"
        found.setdefault(name, []).append(fronts(path.parent))
    heads = [f"{kind}, {reference}" for kind in KINDS for reference in POINTS]
    lines = [f"| solver | seeds | {' | '.join(heads)} |", "|---|---:|" + "---|" * len(heads)]
    for name, runs in found.items():
        values = np.array([[run[kind][i] for kind in KINDS for i in range(len(POINTS))] for run in runs])
        shown = [f"{m:.4f} ± {s:.4f}" for m, s in zip(values.mean(axis=0), values.std(axis=0, ddof=1), strict=True)]
        lines.append(f"| {name} | {len(runs)} | {' | '.join(shown)} |")
    made = "<!-- Made by docs/benchmarks/fairness/by_batch.py of the runs of `benchmarks/fairness`. -->"
    page.write_text(
        "\n".join([made, "# Adult, as COSMOS's code scores", "", *lines, "", NOTE]) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
