"""Forty tasks at little cost: `bilinear` beside `palora`, on CelebA's layout (problem `textures`).

python -m tests.speed.forty step       # processor time of a step and parameters, ResNet-18
python -m tests.speed.forty front      # loss hypervolume of 40 tasks over 3 seeds, a small network
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from moframework.problems.celeba import ATTRIBUTES

from moframework.backbones.resnet import ResNet
from moframework.engine.acceleration import accelerate
from moframework.engine.settings import Training
from moframework.engine.step import Step
from moframework.model import ParetoModel, Recipe
from moframework.run.solving import solve
from moframework.solvers.base import Solver
from tests.engine.conftest import CPU

M, ROUNDS = len(ATTRIBUTES), 7
TASKS = {name: {"loss": "binary_cross_entropy"} for name in ATTRIBUTES}
SPLIT = {"name": "dirichlet", "concentration": 0.5, "per_batch": 4, "batch": "split"}


def step(solver: dict[str, Any], batch: int) -> tuple[Step, int]:
    """A step of ResNet-18 on 32×32 images, and how many parameters beside the network's."""
    from moframework.config import build
    from moframework.problem.task import Task

    method = build(Solver, solver).method(M)
    tasks = tuple(build(Task, {"name": name, **given}) for name, given in TASKS.items())
    outputs = dict.fromkeys(ATTRIBUTES, 1)
    recipe = Recipe(
        tasks=ATTRIBUTES,
        backbone=ResNet(stem="small"),
        input_shape=(3, 32, 32),
        outputs=outputs,
        weights=method.weights,
    )
    torch.manual_seed(0)
    model = ParetoModel(recipe).train()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    made = Step(model, tasks, method, CPU)
    accelerate(made, Training())
    plain = sum(p.numel() for p in recipe.make().parameters())
    return made, sum(p.numel() for p in model.space.parameters()) - plain


def measure(batch: int = 64) -> None:
    """Processor time of a step over that of palora's, alternating."""
    solvers = {name: {"name": name, "rank": 4, "preferences": SPLIT} for name in ("palora", "bilinear")}
    steps = {name: step(solver, batch) for name, solver in solvers.items()}
    x = torch.randn(batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    targets = {name: torch.randint(2, (batch,)) for name in ATTRIBUTES}
    preferences = torch.distributions.Dirichlet(torch.full((M,), 0.5)).sample((4,))
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS + 1):
        for name, (made, _) in steps.items():
            for parameter in made.model.parameters():
                parameter.grad = None
            begin = time.process_time()
            made.execute(x, targets, preferences)
            seconds[name].append(time.process_time() - begin)
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    counts = {name: count for name, (_, count) in steps.items()}
    print(f"batch {batch}: seconds {medians}, ratio {medians['bilinear'] / medians['palora']:.3f}")
    print(f"parameters beside the network {counts}, ratio {counts['bilinear'] / counts['palora']:.4f}")


def front(steps: int = 200) -> None:
    """Loss hypervolume below 1 at the vertices and the center, and mean losses, of equal steps."""
    # The published learning rate of palora's adapters is m times that of the network: here it diverges.
    solvers: dict[str, dict[str, Any]] = {
        "palora": {"name": "palora"},
        "palora, adapter_lr_factor 1": {"name": "palora", "adapter_lr_factor": 1.0},
        "bilinear": {"name": "bilinear"},
    }
    for name, solver in solvers.items():
        for seed in range(3):
            spec = {
                "problem": {"name": "textures", "attributes": M},
                "solver": {**solver, "rank": 4, "preferences": SPLIT},
                "training": {"steps": steps, "batch_size": 128, "optimizer": {"name": "adam", "lr": 2e-3}},
                "evaluate": {"every": 0, "points": M + 1},
                "seed": seed,
            }
            begin = time.process_time()
            with tempfile.TemporaryDirectory() as folder:
                found = solve(spec, out=Path(folder) / "run").front("test")
            own = (found.losses * found.preferences).sum(1).mean()
            print(
                f"{name} seed {seed}: hypervolume {found.hypervolume((1.0,) * M):.4e}, weighted loss {own:.4f}, "
                f"mean loss {found.losses.mean():.4f}, {time.process_time() - begin:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    {"step": measure, "front": front}[sys.argv[1]](*map(int, sys.argv[2:]))
