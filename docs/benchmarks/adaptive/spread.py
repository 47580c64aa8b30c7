"""How evenly the points of a front lie by the schedule that a model was trained with, at equal steps.

    python docs/benchmarks/adaptive/spread.py --out FOLDER --steps 1000 --seeds 0 1 2      # writes FOLDER/results.md

ZDT1 by a hypernetwork and a linear scalarization, which has one and the same point for a third of all preferences. Each
model is evaluated at 16 preferences: those that `maximin` and `optimized` have learned; even ones of the model trained
with `grid`; and draws, 20 times, of that trained with `dirichlet`. Gap: the largest distance of neighbors on the front.
Spacing: standard deviation of the distances to the nearest point.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from moframework import Run, solve
from moframework.engine.checkpoint import read_checkpoint
from moframework.preferences.dirichlet import Dirichlet
from moframework.preferences.simplex import even, inset

POINTS, DRAWS = 16, 20
SCHEDULES = ("dirichlet", "grid", "maximin", "optimized")


def trained(out: Path, schedule: str, seed: int, steps: int) -> Run:
    """The model of one schedule; one that is there is taken."""
    if not (out / "front-test.json").exists():
        solve(
            {
                "problem": {"name": "zdt1", "copies": steps},
                "seed": seed,
                "solver": {"name": "phn", "objective": "linear", "preferences": schedule},
                "training": {
                    "epochs": 1,
                    "batch_size": 1,
                    "optimizer": {"name": "adam", "lr": 1e-3},
                    "scheduler": {"name": "cosine_annealing", "interval": "step"},
                },
                "evaluate": {"every": 0, "points": 21},
            },
            out,
            device="cpu",
        )
    return Run(out)


def preferences_of(out: Path, schedule: str, seed: int) -> list[torch.Tensor]:
    """Sets of preferences (16, 2) that a schedule stands for."""
    if schedule == "grid":
        return [inset(even(POINTS, 2), 0.01)]
    if schedule == "dirichlet":
        generator = torch.Generator().manual_seed(seed)
        return [Dirichlet().draw(1.0, POINTS, 2, generator).double() for _ in range(DRAWS)]
    return [read_checkpoint(next(out.rglob("last.pt")))["schedule"]["learned"]["points"]]


def gap_and_spacing(losses: np.ndarray) -> tuple[float, float]:
    """Of points (n, 2)."""
    ordered = losses[losses[:, 0].argsort()]
    between = np.linalg.norm(losses[:, None] - losses[None], axis=2)
    np.fill_diagonal(between, np.inf)
    gap = np.linalg.norm(np.diff(ordered, axis=0), axis=1).max()
    return float(gap), float(between.min(axis=1).std(ddof=1))


def main() -> None:
    """Train, evaluate and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    found: dict[str, list[list[float]]] = {name: [] for name in SCHEDULES}
    for seed in given.seeds:
        for name in SCHEDULES:
            out = given.out / f"{name}-{seed}"
            run, sets = trained(out, name, seed, given.steps), preferences_of(out, name, seed)
            front = run.evaluate(preferences=torch.cat(sets).tolist(), metrics=False)
            values = [gap_and_spacing(rows) for rows in np.split(np.asarray(front.losses), len(sets))]
            found[name].append([*np.mean(values, axis=0), float(run.front("test").hypervolume())])
    lines = ["| schedule | largest gap | spacing | hypervolume of 21 even preferences |", "|---|---|---|---|"]
    for name, rows in found.items():
        cells = (f"{mean:.3f} ± {off:.3f}" for mean, off in zip(np.mean(rows, 0), np.std(rows, 0, ddof=1), strict=True))
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    (given.out / "results.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
