"""Compiled steps: the same gradients, and what cannot be compiled is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from moframework import ParetoModel, solve
from moframework.backbones.base import Backbone
from moframework.backbones.lenet import LeNet
from moframework.engine.acceleration import accelerate
from moframework.engine.acceleration.compiled import Compiled, uncompiled
from moframework.engine.settings import Training
from moframework.engine.step import Step
from moframework.errors import SpecError
from moframework.model import Recipe
from moframework.objectives.balancing import GradientBalancing
from moframework.objectives.hypervolume_gradient import HypervolumeGradient
from moframework.preferences.annealed import Annealed
from moframework.weights import WeightSpaceConfig
from moframework.weights.conditioned import Conditioned
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.low_rank import LowRank
from tests.engine.conftest import CPU, Conflict, method, model_for

PREFERENCES = torch.tensor([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])


def model(weights: WeightSpaceConfig, backbone: Backbone | None = None) -> ParetoModel:
    recipe = Recipe(
        tasks=("a", "b"),
        backbone=backbone or LeNet(channels=(2,), hidden=4),
        input_shape=(1, 12, 12),
        outputs={"a": 3, "b": 2},
        weights=weights,
    )
    return ParetoModel(recipe).train()


@pytest.mark.parametrize("weights", [LowRank(), ConvexHull(), Conditioned()], ids=lambda w: type(w).__name__)
def test_gradients_are_the_same(weights: WeightSpaceConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tracing and the graph of gradients are those of any backend; compiling the kernels takes too long here.
    traced = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, mode=None: traced(f, backend="aot_eager"))
    made = model(weights)
    x, at = torch.randn(5, 1, 12, 12), torch.tensor([0.2, 0.8])
    found = []
    for compiled in (False, True):
        if compiled:
            made.network.compile()
        made.zero_grad()
        torch.stack([output.square().sum() for output in made(x, at).values()]).sum().backward()
        found.append({name: p.grad.clone() for name, p in made.named_parameters() if p.grad is not None})
    torch.testing.assert_close(found[0], found[1])
    assert made.eval()(x, at)["a"].shape == (5, 3)


def test_recurrent_networks_are_refused() -> None:
    class Recurrent(Backbone):
        def build(self, input_shape: tuple[int, ...], outputs: object) -> nn.Module:
            return nn.GRU(12, 3)

    made = model(ConvexHull(), Recurrent())
    with pytest.raises(SpecError, match=r"training\.compile: networks with recurrent layers"):
        made.network.compile()
    step = Step(made, Conflict().tasks, method(weights=ConvexHull()), CPU)
    with pytest.raises(SpecError, match=r"training\.compile: networks with recurrent layers"):
        accelerate(step, Training(compile=True))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what was given to `torch.compile`, which stands aside, and of what of it was called."""
    called: list[str] = []

    def compiled(function: Callable[..., Any], mode: str | None = None) -> Callable[..., Any]:
        called.append(f"compiled {function.__name__}, {mode}")

        def run(*arguments: Any) -> Any:
            called.append(f"{function.__name__} of {len(arguments[0])}")
            return function(*arguments)

        return run

    monkeypatch.setattr(torch, "compile", compiled)
    return called


def taken(counted: list[str], training: Training, **changes: Any) -> Step:
    """A step that was taken, on 12 samples with three preferences."""
    problem, parts = Conflict(), method(**changes)
    step = Step(model_for(problem, parts).train(), problem.tasks, parts, CPU)
    accelerate(step, training)
    data = problem.data("train")
    step.execute(data.inputs[:12], {key: value[:12] for key, value in data.targets.items()}, PREFERENCES)
    return step


def test_all_preferences_of_a_divided_batch_are_one_function(counted: list[str]) -> None:
    taken(counted, Training(compile=True), preferences=Annealed(per_batch=3, batch="split"))
    assert counted[:2] == ["compiled _functional, None", "compiled losses_of, None"]
    assert [name for name in counted if name.startswith("losses_of")] == ["losses_of of 3"]


def test_preferences_that_go_backward_one_by_one_are_compiled_one_by_one(counted: list[str]) -> None:
    taken(counted, Training(compile="max-autotune"))
    assert counted[:2] == [f"compiled {name}, max-autotune-no-cudagraphs" for name in ("_functional", "losses_of")]
    assert [name for name in counted if name.startswith("losses_of")] == ["losses_of of 1"] * 3


@pytest.mark.parametrize(
    ("training", "changes"),
    [
        (Training(compile=True), {"balancing": (GradientBalancing(),)}),
        (Training(compile=True, recompute=True), {"objective": HypervolumeGradient(reference=(2.0, 2.0))}),
    ],
    ids=["gradients of tasks", "made again"],
)
def test_elsewhere_the_network_alone_is_compiled(
    counted: list[str], training: Training, changes: dict[str, Any]
) -> None:
    taken(counted, training, **changes)
    assert [name for name in counted if name.startswith("compiled")] == ["compiled _functional, None"]
    assert sum(name.startswith("_functional of") for name in counted) >= 3


def test_nothing_is_compiled_while_a_step_is_watched(counted: list[str]) -> None:
    step = taken(counted, Training(compile=True))
    data = Conflict().data("train")
    batch = data.inputs[:12], {key: value[:12] for key, value in data.targets.items()}, PREFERENCES
    counted.clear()
    with uncompiled(step):
        expected = step.execute(*batch)
    assert counted == []
    torch.testing.assert_close(step.execute(*batch), expected)
    assert "losses_of of 1" in counted


def test_it_is_asked_for() -> None:
    problem, parts = Conflict(), method()
    step = Step(model_for(problem, parts), problem.tasks, parts, CPU)
    assert Compiled.declines(step, Training()) == "training.compile is false"
    assert Compiled.declines(step, Training(compile=True)) is None


def test_a_run_says_what_compiling_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traced = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, mode=None: traced(f, backend="aot_eager"))
    spec = {
        "problem": {"name": "digits", "train": 64, "val": 16, "test": 16},
        "solver": "palora",
        "training": {"steps": 2, "batch_size": 32, "compile": True},
    }
    summary = solve(spec, tmp_path / "run").summary()
    assert summary["compile_seconds"] > 0
    assert summary["training_seconds"] < summary["compile_seconds"]
