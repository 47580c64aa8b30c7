"""Products of gradients are those over the parameters that every task reaches: with heads, the encoder's alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from moframework import Task
from moframework.config import config
from moframework.engine.micro_batches import MicroBatches
from moframework.engine.step import Partition, Step
from moframework.losses import MSE
from moframework.objectives import Weighting
from moframework.preferences.annealed import Annealed
from moframework.weights.convex_hull import ConvexHull
from tests.engine.conftest import CPU, Conflict, method, model_for


@config
class Apart(Conflict):
    """An output for each task, which a last layer of its own makes."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        return (Task(name="sine", loss=MSE()), Task(name="cosine", loss=MSE()))


@config
class Watched(Weighting):
    """Keeps the products that it is given."""

    seen: ClassVar[list[Tensor]] = []

    def weights(self, losses: Tensor, preferences: Tensor, gramian: Tensor, state: nn.Module | None = None) -> Tensor:
        self.seen.append(gramian)
        return preferences


class Joined(Partition):
    """Sends statistics as one tensor, as processes that share a batch do."""

    shards_batch = True

    def reduce_statistics(self, statistics: Sequence[Tensor], apart: bool = False) -> list[Tensor]:
        if apart:
            return [self.reduce_statistics([one])[0] for one in statistics]
        flat = torch.cat([one.reshape(-1) for one in statistics])
        parts = torch.split(flat, [one.numel() for one in statistics])
        return [part.view(one.shape) for part, one in zip(parts, statistics, strict=True)]


@pytest.mark.parametrize("way", ["plain", "in parts", "shared among processes"])
def test_heads_are_not_in_the_products(way: str) -> None:
    problem = Apart()
    parts: dict[str, Any] = {"weights": ConvexHull(), "objective": Watched(), "preferences": Annealed(per_batch=1)}
    made = method(**parts)
    model = model_for(problem, made)
    data, preference = problem.data("train"), torch.tensor([[0.3, 0.7]])
    step = Step(model, problem.tasks, made, CPU, Joined() if way == "shared among processes" else None)
    if way == "in parts":
        MicroBatches(step, 4)
    Watched.seen.clear()
    step.run(data.inputs, data.targets, preference)

    theta = {name: value.detach().requires_grad_() for name, value in model.space.weights(preference[0]).items()}
    outputs = model.network.call(theta, data.inputs)
    rows = []
    shared: list[str] = []
    for task in problem.tasks:
        loss = task.loss(outputs[task.output_key], data.targets[task.target_key])
        found = torch.autograd.grad(loss, list(theta.values()), retain_graph=True, allow_unused=True)
        rows.append(dict(zip(theta, found, strict=True)))
        shared = [name for name in theta if all(row[name] is not None for row in rows)]
    assert 0 < len(shared) < len(theta), "there are heads"
    jacobian = torch.stack([torch.cat([row[name].flatten() for name in shared]) for row in rows])  # type: ignore[union-attr]
    torch.testing.assert_close(Watched.seen[0][0], jacobian @ jacobian.T)
