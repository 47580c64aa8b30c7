"""Forty tasks at little cost: `bilinear` beside `palora`, on CelebA's layout with generated images.

    python -m tests.speed.forty step       # processor time of a step and parameters, ResNet-18
    python -m tests.speed.forty front      # loss hypervolume of 40 tasks over 3 seeds, a small network

An attribute is a texture of its own, faint under noise; attributes come in correlated groups, as faces have them.
"""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from moframework.problems.celeba import ATTRIBUTES
from torch import Tensor, nn

from moframework.backbones.lenet import LeNet
from moframework.backbones.resnet import ResNet
from moframework.engine.acceleration import accelerate
from moframework.engine.settings import Training
from moframework.engine.step import Step
from moframework.model import ParetoModel, Recipe
from moframework.problem import Problem
from moframework.problem.from_parts import problem_from_parts
from moframework.run.solving import solve
from moframework.solvers.base import Solver
from tests.engine.conftest import CPU

M, SIDE, ROUNDS = len(ATTRIBUTES), 16, 7
TASKS = {name: {"loss": "binary_cross_entropy"} for name in ATTRIBUTES}
SPLIT = {"name": "dirichlet", "concentration": 0.5, "per_batch": 4, "batch": "split"}


def faces(count: int, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Images (count, 3, 16, 16) and forty attributes each."""
    fixed, own = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed)
    textures = nn.functional.interpolate(torch.randn(M, 3, 6, 6, generator=fixed), SIDE, mode="bilinear")
    shares = torch.rand(M, generator=fixed) * 0.7 + 0.1
    groups = torch.randn(count, 8, generator=own).repeat_interleave(5, dim=1)
    scores = torch.special.ndtr((groups + torch.randn(count, M, generator=own)) / math.sqrt(2))
    there = (scores < shares).long()
    signal = torch.einsum("nt,tchw->nchw", there.float() - shares, textures)
    images = 0.25 * signal + torch.randn(count, 3, SIDE, SIDE, generator=own)
    return images, dict(zip(ATTRIBUTES, there.unbind(1), strict=True))


def problem() -> Problem:
    """4,000 images to learn from."""
    data = {"train": faces(4000, 1), "val": faces(500, 2), "test": faces(1000, 3)}
    return problem_from_parts(tasks=TASKS, network=LeNet(), data=data, reference=(1.0,) * M)


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
                "problem": {"python": "tests.speed.forty:problem"},
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
