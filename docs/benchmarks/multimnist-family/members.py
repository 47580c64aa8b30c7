"""The members of the soups in `benchmarks/multimnist-family`: a network for both tasks, and from it one for each.

    python docs/benchmarks/multimnist-family/members.py SEEDS [PROBLEM=RATE …]

SEEDS as in 1,2,3,4. For each problem with the rate that is named, and without one with all that the benchmark's grid
has, they lie in runs/PROBLEM/RATE/ as base-SEED and tuned-SEED; what is there already is left. Of the two epochs that
every contender has, the network for both tasks has one and each member half a one, with the benchmark's settings.
"""

from __future__ import annotations

import sys
from pathlib import Path

from moframework import load_spec, solve
from moframework.benchmark.loading import load_benchmark
from moframework.config import unstructure

KEY = "training.optimizer.lr"


def train(problem: str, rate: float, seed: int, place: Path) -> None:
    """Train base and members of one problem, rate and seed."""
    benchmark = load_benchmark("benchmarks/multimnist-family")
    training = {**unstructure(benchmark.training), "epochs": 1}
    steps = 50_000 // training["batch_size"] // 2
    base, tuned = place / f"base-{seed}", place / f"tuned-{seed}"
    ways = [
        (base, "single", training),
        (tuned, {"name": "stl", "initial": str(base)}, {**training, "epochs": None, "steps": steps}),
    ]
    for out, solver, budget in ways:
        if out.exists():
            continue
        given = {"problem": problem, "solver": solver, "seed": seed, "training": budget, "evaluate": {"every": 0}}
        solve(load_spec(given, [f"{KEY}={rate}"]), out=out)


def main(seeds: list[int], rates: dict[str, float]) -> None:
    """Train what is missing."""
    benchmark = load_benchmark("benchmarks/multimnist-family")
    assert benchmark.tune is not None
    for entry in benchmark.problems:
        for rate in [rates[entry.title]] if entry.title in rates else benchmark.tune.grid[KEY]:
            for seed in seeds:
                train(entry.title, rate, seed, Path("runs") / entry.title / str(rate))


if __name__ == "__main__":
    named = dict(one.split("=") for one in sys.argv[2:])
    main([int(seed) for seed in sys.argv[1].split(",")], {name: float(rate) for name, rate in named.items()})
