"""Training on a CUDA device: no waiting inside a step, mixed precision, compiled networks. Not run without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from moframework import solve
from moframework.config import build
from moframework.engine.step import Step
from moframework.preferences.annealed import Annealed
from moframework.run.plan import plan
from moframework.spec import Spec

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

SPEC: dict[str, Any] = {
    "problem": {"name": "digits", "train": 512, "val": 64, "test": 64},
    "training": {"device": "cuda", "epochs": 2, "batch_size": 64},
}
SOLVERS: tuple[Any, ...] = (
    {"name": "palora", "preferences": {"name": "annealed", "per_batch": 3, "batch": "split"}},
    {"name": "palora", "balancing": ["gradient"]},
    "pamal",
    "cosmos",
    {"name": "single", "objective": "uncertainty"},
)


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_a_step_never_waits_for_the_device(solver: Any) -> None:
    ready = plan(build(Spec, {**SPEC, "solver": solver}))
    ready.place.take(ready.model)
    step = Step(ready.model.train(), ready.spec.problem.tasks, ready.method, ready.place)
    x, targets = ready.data["train"].inputs[:64].cuda(), ready.data["train"].targets  # type: ignore[attr-defined]
    wanted = {key: value[:64].cuda() for key, value in targets.items()}
    count = ready.method.preferences.count(2)
    preferences = Annealed().draw(0.5, count, 2, torch.Generator().manual_seed(0))
    step.run(ready.place.arranged(x), wanted, preferences)  # what is loaded at first use may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        step.run(ready.place.arranged(x), wanted, preferences)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_ends_near_full_precision(precision: str, tmp_path: Path) -> None:
    fronts = {}
    for each in ("fp32", precision):
        training = {**SPEC["training"], "precision": each}
        run = solve({**SPEC, "solver": "palora", "training": training}, tmp_path / each)
        fronts[each] = run.front("test").losses
    assert abs(fronts[precision] - fronts["fp32"]).max() < 0.1


def test_compiled_networks_train(tmp_path: Path) -> None:
    run = solve({**SPEC, "solver": "palora", "training": {**SPEC["training"], "compile": True}}, tmp_path / "run")
    assert run.status == "done"
    assert run.summary()["compile_seconds"] > 0
