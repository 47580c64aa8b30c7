"""Graphs made again when going backward: the same gradients, buffers and random numbers, and one graph at a time."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Collection
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from moframework.backbones.base import Backbone
from moframework.config import build, config
from moframework.engine.acceleration import activation_checkpoint as module
from moframework.engine.acceleration.activation_checkpoint import WeightsAgain, recomputed
from moframework.engine.distributed.partition import Partition, make_partition
from moframework.engine.settings import Distributed
from moframework.engine.step import Step
from moframework.errors import SpecError
from moframework.layers.rematerialized import Unmade
from moframework.objectives import Objective, Scalarization
from moframework.objectives.hypervolume_gradient import HypervolumeGradient
from moframework.objectives.linear import Linear
from moframework.preferences.annealed import Annealed
from moframework.run.plan import plan
from moframework.spec import Spec
from moframework.weights import WeightSpaceConfig
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.hypernetwork import Hypernetwork
from moframework.weights.low_rank import LowRank
from tests.engine.conftest import CPU, Conflict, method, model_for
from tests.weights.test_spaces import model as of_zoo
from tests.weights.zoo import ZOO

PREFERENCES = torch.tensor([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])


@config
class Joined(Scalarization):
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


def gone_backward(objective: Objective, recompute: bool, batch: str = "shared"):
    parts = method(objective=objective, preferences=Annealed(per_batch=3, batch=batch))  # type: ignore[arg-type]
    problem = Noisy()
    model = model_for(problem, parts)
    with torch.no_grad():
        for b in model.space.b:
            b.normal_(generator=torch.Generator().manual_seed(1))
    data = problem.data("train")
    torch.manual_seed(5)
    losses = Step(model.train(), problem.tasks, parts, CPU, recompute=recompute).run(
        data.inputs, data.targets, PREFERENCES
    )
    found = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    return losses, found, dict(model.skeleton.named_buffers()), model.skeleton.calls, torch.rand(1)


@pytest.mark.parametrize("batch", ["shared", "split"])
@pytest.mark.parametrize("objective", [Joined(), HypervolumeGradient(coefficient=0.2, reference=(2.0, 2.0))], ids=repr)
def test_the_same_step_with_one_more_forward_pass(objective: Objective, batch: str) -> None:
    """Dropout masks, running statistics and what is drawn afterwards included. To rounding: without, the weights of all
    preferences come from one product."""
    losses, gradients, buffers, calls, after = gone_backward(objective, True, batch)
    expected_losses, expected, expected_buffers, expected_calls, expected_after = gone_backward(objective, False, batch)
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
    assert gone_backward(Linear(), True)[3] == 3


def test_nothing_of_the_graph_is_held_between_the_passes() -> None:
    made: list[weakref.ref[Tensor]] = []
    parameter = nn.Parameter(torch.ones(4))

    def run() -> Tensor:
        inner = parameter.exp()  # exp keeps its result for the way back
        made.append(weakref.ref(inner))
        return inner.square().sum()

    value = recomputed(run, nn.Identity())
    gc.collect()
    assert made[0]() is None
    value.backward()  # type: ignore[no-untyped-call]
    assert len(made) == 2
    torch.testing.assert_close(parameter.grad, 2 * torch.full((4,), 2.0).exp())


def test_several_processes_that_share_a_batch_are_refused(two: Partition) -> None:
    parts = method(objective=Joined())
    problem = Conflict()
    with pytest.raises(SpecError, match=r"training\.recompute.*spread"):
        Step(model_for(problem, parts), problem.tasks, parts, CPU, two, recompute=True)


@pytest.fixture
def two() -> Partition:
    from moframework.engine.distributed.world import World

    class Two(World):
        size = 2

    return make_partition(Two(), build(Distributed, {}), Annealed(per_batch=3), 2, 8)


SPACES = {"low rank": LowRank(rank=2), "separable": LowRank(rank=2, conv="separable"), "hull": ConvexHull()}
MIXED = [name for name in ZOO if name != "recurrent"]


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("network", MIXED)
def test_weights_made_again_give_the_same_gradients(network: str, space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEAST_BYTES", 0)
    made, at, x = of_zoo(network, SPACES[space]), torch.tensor([0.3, 0.7]), ZOO[network].inputs()
    again = WeightsAgain(made.space, 2)
    found = []
    for weights in (made.weights, again.weights):
        made.zero_grad()
        output = made.call(weights(at), x)["y"]
        output.square().sum().backward()
        found.append({name: p.grad.clone() for name, p in made.named_parameters() if p.grad is not None})
    assert any(isinstance(value, Unmade) for value in again.weights(at).values())
    # To rounding: what of a hull is no kernel comes from one product of another size.
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("space", [LowRank(), ConvexHull()], ids=["low rank", "hull"])
def test_no_large_weight_is_held_after_its_layer(
    space: WeightSpaceConfig, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither while the forward pass goes on, nor by its graph, nor in the backward pass."""
    monkeypatch.setattr(module, "_LEAST_BYTES", 0)
    made, at, x = of_zoo("conv2d", space), torch.tensor([0.3, 0.7]), ZOO["conv2d"].inputs()
    alive: list[weakref.ref[Tensor]] = []
    most = 0
    original = made.space.part

    def part(preference: Tensor, names: Collection[str]) -> dict[str, Tensor] | None:
        nonlocal most
        theta = original(preference, names)
        if len(names) == 1:
            most = max(most, sum(each() is not None for each in alive))
            alive.extend(weakref.ref(value) for value in theta.values())
        return theta

    monkeypatch.setattr(made.space, "part", part)
    theta = WeightsAgain(made.space, 2).weights(at) if again else made.space.weights(at)
    if not again:
        alive.extend(weakref.ref(value) for value in theta.values() if value.grad_fn is not None)
    output = made.call(theta, x)["y"]
    del theta
    gc.collect()
    left = sum(each() is not None for each in alive)
    assert (len(alive) >= 2, left == 0) == (True, again)
    output.sum().backward()
    if again:
        assert most <= 1


def test_a_step_that_makes_weights_again() -> None:
    problem, parts = Conflict(), method()
    x, targets = (data := problem.data("train")).inputs, data.targets
    found = []
    for recompute in (False, "weights"):
        model = model_for(problem, parts)
        Step(model.train(), problem.tasks, parts, CPU, recompute=recompute).run(x, targets, PREFERENCES)
        found.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(found[0], found[1])


def test_spaces_that_make_all_weights_at_once_are_refused() -> None:
    parts = method(weights=Hypernetwork(hidden=(4,)))
    with pytest.raises(SpecError, match=r"training\.recompute: HypernetworkSpace cannot make single weights again"):
        Step(model_for(Conflict(), parts), Conflict().tasks, parts, CPU, recompute="weights")
    spec = {"problem": {"name": "digits", "train": 64, "val": 16, "test": 16}, "solver": "phn"}
    with pytest.raises(SpecError, match="cannot make single weights again"):  # before anything is trained
        plan(build(Spec, {**spec, "training": {"recompute": "weights"}}))
    parts = method()
    step = Step(model_for(Conflict(), parts), Conflict().tasks, parts, CPU, recompute="weights")
    with pytest.raises(SpecError, match=r"training\.compile: what is compiled keeps its weights"):
        step.compile()
