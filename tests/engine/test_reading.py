"""No step waits for its device: on the meta device, which holds no numbers, reading one is an error.

That stands in for an accelerator where there is none; `test_cuda.py` has the same test for CUDA.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from moframework.config import build
from moframework.engine.acceleration import accelerate
from moframework.engine.device import Placement
from moframework.engine.step import Step
from moframework.run.plan import plan
from moframework.spec import Spec

META = Placement(device=torch.device("meta"), autocast_dtype=None, memory_format=torch.contiguous_format)
PROBLEM: dict[str, Any] = {"name": "digits", "train": 64, "val": 16, "test": 16}
SOLVERS: tuple[Any, ...] = (
    "palora",
    {"name": "palora", "preferences": {"name": "annealed", "per_batch": 3, "batch": "split"}},
    {"name": "palora", "balancing": ["loss", "gradient"]},
    {"name": "palora", "objective": "smooth_tchebycheff"},
    "pamal",
    {"name": "pamal", "objective": "multi_forward", "preferences": {"name": "dirichlet", "per_batch": 3}},
    {"name": "lorpman", "orthogonal": 0.1},
    "phn",
    {"name": "phn", "weights": "chunked_hypernetwork"},
    "cosmos",
    {"name": "multipoint", "points": 3},
    "single",
    {"name": "single", "objective": "uncertainty"},
    {"name": "single", "objective": "rlw"},
    {"name": "single", "objective": "nash_mtl"},
)


def step_on_meta(
    solver: Any, acceleration: Any = "auto"
) -> tuple[Step, torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
    """A step of a solver, accelerated as told, with a batch and preferences."""
    training = {"device": "cpu", "batch_size": 12, "acceleration": acceleration}
    ready = plan(build(Spec, {"problem": PROBLEM, "solver": solver, "training": training}, trust=True))
    model = ready.model.to("meta").train()
    data = ready.data["train"]
    x = data.inputs[:12].to("meta").float()
    targets = {key: value[:12].to("meta") for key, value in data.targets.items()}
    count = ready.method.preferences.count(2)
    preferences = ready.method.preferences.draw(0.5, count, 2, torch.Generator().manual_seed(0))
    step = Step(model, ready.spec.problem.tasks, ready.method, META)
    accelerate(step, ready.spec.training)
    return step, x, targets, preferences


@pytest.mark.parametrize("acceleration", ["auto", "none"])
@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_a_step_reads_nothing_from_its_device(solver: Any, acceleration: Any) -> None:
    step, x, targets, preferences = step_on_meta(solver, acceleration)
    losses = step.execute(x, targets, preferences)
    assert losses.is_meta
    assert any(p.grad is not None for p in step.model.parameters())


def test_what_reads_is_found() -> None:
    """The test above can fail: epo solves its problem on the host, as its documentation says."""
    step, x, targets, preferences = step_on_meta({"name": "palora", "objective": "epo"})
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        step.run(x, targets, preferences)
