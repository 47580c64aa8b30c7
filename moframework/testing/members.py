"""Members for solvers that merge networks: one network of the problem, and a disturbed copy of it for each task."""

from __future__ import annotations

from pathlib import Path

import attrs
import torch

from moframework.io.tensors import save_tensors
from moframework.solvers.base import Solver
from moframework.testing.matrix import Pair, load_problem

__all__ = ["with_members"]

_SIZE = 0.1
"""Deviation of a member's weights from the common start, in deviations of the start's."""


def with_members(pair: Pair, folder: Path) -> Pair:
    """The pair with members written into `folder`, where its solver needs some and has none; else as it is.

    They are what fine-tuning leaves, without the training: a network of the problem, drawn with seed 0, and for each
    task a copy with noise of a tenth of each tensor's deviation.
    """
    name = pair.solver.get("name")
    if name is None or not getattr(Solver.lookup(name), "needs_members", False) or "members" in pair.solver:
        return pair
    problem = load_problem(pair.problem)
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = problem.backbone()
        start = {key: value.detach().clone().contiguous() for key, value in network.state_dict().items()}
        files = {}
        for place, task in enumerate(problem.tasks):
            state = dict(start)
            for key, value in network.named_parameters():
                size = float(value.detach().std()) if value.numel() > 1 else 1.0
                state[key] = start[key] + _SIZE * (size or 1.0) * torch.randn_like(start[key])
            files[task.name] = folder / f"member-{place}.safetensors"
            save_tensors(files[task.name], state)
    save_tensors(folder / "base.safetensors", start)
    members = {task: str(file.absolute()) for task, file in files.items()}
    base = str((folder / "base.safetensors").absolute())
    return attrs.evolve(pair, solver={**pair.solver, "members": members, "base": base})
