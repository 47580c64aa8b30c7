"""Graphs made again when going backward: the same gradients, buffers and random numbers, and one graph at a time."""

from __future__ import annotations

import gc
import weakref
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from moframework.backbones.base import Backbone
from moframework.config import build, config
from moframework.engine.acceleration import accelerate
from moframework.engine.acceleration.activation_checkpoint import ActivationCheckpoint, checkpointed
from moframework.engine.distributed.partition import make_partition
from moframework.engine.settings import Distributed, Training
from moframework.engine.step import Partition, Step
from moframework.errors import SpecError
from moframework.objectives import Objective, Scalarization
from moframework.objectives.balancing import GradientBalancing
from moframework.objectives.hypervolume_gradient import HypervolumeGradient
from moframework.objectives.linear import Linear
from moframework.preferences.annealed import Annealed
from moframework.processes.world import World
from tests.engine.conftest import CPU, Conflict, method, model_for

PREFERENCES = torch.tensor([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])


@config
class Coupled(Scalarization):
    """Joins the preferences smoothly."""

    separable: ClassVar[bool] = False

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        return (losses * preferences).sum(dim=1).logsumexp(dim=0)


class Unsteady(nn.Module):
    """Everything a second forward pass could do differently."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.ReLU(), nn.Linear(16, 1))
        self.calls = 0

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        self.calls += 1
        return {"y": self.net(x)}


@config
class UnsteadyBackbone(Backbone):
    def build(self, input_shape: tuple[int, ...], outputs: dict[str, int]) -> nn.Module:
        return Unsteady()


@config
class Noisy(Conflict):
    @property
    def network(self) -> Backbone:
        return UnsteadyBackbone()


AGAIN, PLAIN = Training(recompute=True, acceleration=("activation_checkpoint",)), Training(acceleration="none")


def gone_backward(objective: Objective, training: Training, batch: str = "shared"):
    parts = method(objective=objective, preferences=Annealed(per_batch=3, batch=batch))  # type: ignore[arg-type]
    problem = Noisy()
    model = model_for(problem, parts)
    with torch.no_grad():
        for b in model.space.b:
            b.normal_(generator=torch.Generator().manual_seed(1))
    data = problem.data("train")
    step = Step(model.train(), problem.tasks, parts, CPU)
    accelerate(step, training)
    torch.manual_seed(5)
    losses = step.execute(data.inputs, data.targets, PREFERENCES)
    found = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    return losses, found, dict(model.skeleton.named_buffers()), model.skeleton.calls, torch.rand(1)


@pytest.mark.parametrize("batch", ["shared", "split"])
@pytest.mark.parametrize("objective", [Coupled(), HypervolumeGradient(coefficient=0.2, reference=(2.0, 2.0))], ids=repr)
def test_the_same_step_with_one_more_forward_pass(objective: Objective, batch: str) -> None:
    """Dropout masks, running statistics and what is drawn afterwards included. To rounding: without, the weights of all
    preferences come from one product."""
    losses, gradients, buffers, calls, after = gone_backward(objective, AGAIN, batch)
    expected_losses, expected, expected_buffers, expected_calls, expected_after = gone_backward(objective, PLAIN, batch)
    assert (expected_calls, calls) == (3, 6)
    close = {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(losses, expected_losses, **close)
    for mine, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(mine, theirs, **close)
    assert buffers.keys() == expected_buffers.keys()
    for name, value in buffers.items():
        torch.testing.assert_close(value, expected_buffers[name], **close, msg=name)
    assert torch.equal(after, expected_after)


def test_a_separable_objective_holds_one_graph_anyway_and_is_left_alone() -> None:
    assert gone_backward(Linear(), Training(recompute=True))[3] == 3


@pytest.mark.parametrize(
    ("changes", "recompute", "reason"),
    [
        ({"objective": Coupled()}, False, "training.recompute is false"),
        ({"objective": Coupled(), "balancing": (GradientBalancing(),)}, True, "gradients of single tasks"),
        ({"objective": Linear()}, True, "one graph is all that is held"),
    ],
    ids=["not asked for", "gradients of tasks", "separable"],
)
def test_it_declines_with_a_reason(changes: dict[str, object], recompute: bool, reason: str) -> None:
    parts, problem = method(**changes), Conflict()
    step = Step(model_for(problem, parts), problem.tasks, parts, CPU)
    assert reason in str(ActivationCheckpoint.declines(step, Training(recompute=recompute)))


def test_nothing_of_the_graph_is_held_between_the_passes() -> None:
    made: list[weakref.ref[Tensor]] = []
    parameter = nn.Parameter(torch.ones(4))

    def run() -> Tensor:
        inner = parameter.exp()  # exp keeps its result for the way back
        made.append(weakref.ref(inner))
        return inner.square().sum()

    value = checkpointed(run, nn.Identity())
    gc.collect()
    assert made[0]() is None
    value.backward()  # type: ignore[no-untyped-call]
    assert len(made) == 2
    torch.testing.assert_close(parameter.grad, 2 * torch.full((4,), 2.0).exp())


class Two(World):
    """What one of two processes may know without asking the other."""

    size = 2


def shared_by_two(preferences: str) -> Partition:
    return make_partition(Two(), build(Distributed, {"preferences": preferences}), Annealed(per_batch=3), 2, 8)


def test_several_processes_that_share_a_batch_are_refused() -> None:
    parts = method(objective=Coupled())
    problem = Conflict()
    step = Step(model_for(problem, parts), problem.tasks, parts, CPU, shared_by_two("shared"))
    with pytest.raises(SpecError, match=r"training\.recompute.*spread"):
        accelerate(step, Training(recompute=True))
    spread = Step(model_for(problem, parts), problem.tasks, parts, CPU, shared_by_two("spread"))
    assert ActivationCheckpoint.declines(spread, Training(recompute=True)) is None


def test_buffers_are_the_networks_own_again_after_an_error() -> None:
    network = nn.BatchNorm1d(2)
    kept = network.running_mean
    parameter, calls = nn.Parameter(torch.ones(3, 2)), 0

    def run() -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 2:
            assert network.running_mean is not kept
            raise ValueError("the second time")
        result: Tensor = network(parameter * torch.arange(3.0).unsqueeze(1)).square().sum()
        return result

    value = checkpointed(run, network)
    with pytest.raises(ValueError, match="the second time"):
        value.backward()  # type: ignore[no-untyped-call]
    assert network.running_mean is kept
