"""A tiny real problem for the engine: two regressions on one line of numbers, solved in milliseconds."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from moframework import ParetoModel, Problem, Task, TensorData
from moframework.backbones.base import Backbone
from moframework.backbones.mlp import MLP
from moframework.config import config, option
from moframework.engine.device import Placement
from moframework.engine.fit import Fit, Job, fit
from moframework.engine.method import Method
from moframework.engine.settings import Evaluation, Training
from moframework.losses import MSE
from moframework.metrics import MAE
from moframework.model import Recipe
from moframework.nonfinite import on_nonfinite
from moframework.objectives.linear import Linear
from moframework.preferences.annealed import Annealed
from moframework.weights.low_rank import LowRank

CPU = Placement(device=torch.device("cpu"), autocast_dtype=None, memory_format=torch.contiguous_format)


@config
class Conflict(Problem):
    """Both tasks read one output; one wants sin(x), the other cos(x): a true trade-off."""

    size: int = option(64, ge=1, help="samples a split")
    hidden: tuple[int, ...] = option((8,), help="hidden widths")

    @property
    def tasks(self) -> tuple[Task, ...]:
        return (
            Task(name="sine", loss=MSE(), metrics=(MAE(),), output="y"),
            Task(name="cosine", loss=MSE(), metrics=(MAE(),), output="y"),
        )

    @property
    def network(self) -> Backbone:
        return MLP(hidden=self.hidden)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (1,)

    @property
    def reference(self) -> tuple[float, ...]:
        return (2.0, 2.0)

    def data(self, split: str) -> TensorData:
        generator = torch.Generator().manual_seed(["train", "val", "test"].index(split))
        x = torch.rand(self.size, 1, generator=generator) * 6
        return TensorData(x, {"sine": x.sin(), "cosine": x.cos()})


def stop_at(step: int) -> Callable[[], bool]:
    """Asks a training to stop after this step."""
    asked = itertools.count(1)
    return lambda: next(asked) == step


def method(**changes: Any) -> Method:
    parts: dict[str, Any] = {
        "weights": LowRank(rank=2),
        "preferences": Annealed(per_batch=3),
        "objective": Linear(),
    }
    return Method(**{**parts, **changes})


def model_for(problem: Problem, parts: Method, seed: int = 0) -> ParetoModel:
    torch.manual_seed(seed)
    recipe = Recipe(
        tasks=tuple(task.name for task in problem.tasks),
        backbone=problem.network,
        input_shape=problem.input_shape,
        outputs=problem.outputs,
        weights=parts.weights,
    )
    return ParetoModel(recipe)


def job_for(
    model: ParetoModel,
    problem: Problem,
    parts: Method,
    folder: Path,
    training: Training | None = None,
    evaluation: Evaluation | None = None,
    **changes: Any,
) -> Job:
    defaults: dict[str, Any] = {
        "training": Training(epochs=3, batch_size=16) if training is None else training,
        "evaluation": Evaluation() if evaluation is None else evaluation,
        "data": problem.data("train"),
        "validation": problem.data("val"),
        "preferences": torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]),
        "reference": (2.0, 2.0),
        "seed": 0,
        "place": CPU,
        "folder": folder,
    }
    given = {**defaults, **changes}
    return Job(model=model, problem=problem, method=parts, **{"on_nonfinite": on_nonfinite(given["training"]), **given})


Train = Callable[..., tuple[ParetoModel, Fit]]


@pytest.fixture
def train(tmp_path: Path) -> Train:
    def run(
        parts: Method | None = None,
        training: Training | None = None,
        evaluation: Evaluation | None = None,
        problem: Problem | None = None,
        **options: Any,
    ) -> tuple[ParetoModel, Fit]:
        problem = Conflict() if problem is None else problem
        parts = method() if parts is None else parts
        model = model_for(problem, parts)
        asked = {name: options.pop(name) for name in ("observer", "resume", "stop", "world") if name in options}
        folder = options.pop("folder", tmp_path / "checkpoints")
        return model, fit(job_for(model, problem, parts, folder, training, evaluation, **options), **asked)

    return run


def same_state(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
