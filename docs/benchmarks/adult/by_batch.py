"""Hypervolumes of `benchmarks/adult` as COSMOS's code scores: decisions, batch by batch, and their mean.

    MOFRAMEWORK_DATA=… python docs/benchmarks/adult/by_batch.py FOLDER

FOLDER is the folder of the benchmark. The saved models are asked for the test rows, shuffled once, in batches of 256.
Cross-entropy, and the difference between the groups in the number of persons of class 1 who get a positive decision,
over the batch size, are taken of each batch and averaged.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from moframework import Run, get_problem
from moframework.pareto.indicators import hypervolume

BATCH = 256
POINTS = ((1.0, 1.0), (2.0, 2.0))


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
    kinds = {"losses": front.losses, "decisions, mean over batches": np.array(batches), "decisions, at once": whole}
    return {kind: [hypervolume(points, reference) for reference in POINTS] for kind, points in kinds.items()}


def main(folder: Path) -> None:
    """Print mean and standard deviation over the seeds of each solver."""
    for solver in sorted(path for path in (folder / "cells" / "adult").iterdir() if path.is_dir()):
        runs = [fronts(path) for path in sorted(solver.iterdir()) if (path / "status.json").is_file()]
        for kind in runs[0]:
            for number, reference in enumerate(POINTS):
                values = [run[kind][number] for run in runs]
                spread = f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"
                click.echo(f"{solver.name}, {kind}, {reference}: {spread} ({len(values)} seeds)")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
