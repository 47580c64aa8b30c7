"""Large adapters that layers apply instead of merging them: results are those of the merged weight, however a network
uses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from attrs import evolve
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from moframework.backbones.base import Backbone
from moframework.config import config, option
from moframework.engine.acceleration import accelerate, adapter_layers
from moframework.engine.acceleration.adapter_layers import AdapterLayers
from moframework.engine.settings import Training
from moframework.engine.step import Step
from moframework.layers import lazy_weight, merge
from moframework.layers.lazy_weight import AdaptedWeight
from moframework.losses import MSE
from moframework.model import ParetoModel, Recipe
from moframework.objectives.balancing import GradientBalancing
from moframework.problem.task import Task
from moframework.weights import WeightSpaceConfig
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.low_rank import LowRank, LowRankSpace
from tests.engine.conftest import CPU, method
from tests.weights.test_spaces import model as of_zoo
from tests.weights.zoo import ZOO

TASKS = tuple(Task(name=name, loss=MSE(), output="y") for name in ("left", "right"))
PREFERENCES = torch.tensor([[0.3, 0.7], [0.9, 0.1]])


@config
class Given(Backbone):
    """Any network."""

    make: Any = option(help="makes it")

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        network: nn.Module = self.make()
        return network


def model_of(make: Callable[[], nn.Module], weights: WeightSpaceConfig | None = None) -> ParetoModel:
    torch.manual_seed(0)
    recipe = Recipe(
        tasks=("left", "right"),
        backbone=Given(make=make),
        input_shape=(4,),
        outputs={"y": 1},
        weights=LowRank() if weights is None else weights,
    )
    made = ParetoModel(recipe).train()
    with torch.no_grad():
        for name, parameter in made.space.named_parameters():
            if name.startswith("b."):  # adapters away from zero
                parameter.normal_()
    return made


def step_of(model: ParetoModel, **changes: Any) -> Step:
    return Step(model, TASKS, method(**changes), CPU)


def plugged(model: ParetoModel) -> AdapterLayers:
    """The plug, as a step has it."""
    step = step_of(model)
    accelerate(step, Training(acceleration=("adapter_layers",)))
    assert isinstance(step.weights, AdapterLayers)
    return step.weights


@pytest.fixture
def every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (adapter_layers, merge):
        monkeypatch.setattr(module, "LARGE", 0)


@pytest.fixture(params=[True, False], ids=["applied", "merged"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever way each layer takes."""
    for name in ("linear_pays", "conv2d_pays"):
        monkeypatch.setattr(lazy_weight, name, lambda *arguments: request.param)


def assert_same(model: ParetoModel, x: Tensor, preferences: Tensor = PREFERENCES) -> None:
    """Outputs, and gradients, of some preferences at once, with merged weights and with θ(λ) of the plug."""
    found: list[Any] = []
    for make in (lambda: model.space.weights_of, lambda: plugged(model)):
        model.zero_grad()
        thetas = make()(preferences)
        outputs = [model.call(theta, x)["y"] for theta in thetas]
        torch.stack(outputs).square().sum().backward()
        gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        found.append((outputs, gradients))
    assert any(bool(gradient.any()) for name, gradient in found[0][1].items() if name.startswith("space.b."))
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("every_size", "way")
@pytest.mark.parametrize("conv", ["loralib", "peft", "separable"])
@pytest.mark.parametrize("network", ZOO)
def test_weights_do_what_merged_ones_do(network: str, conv: str) -> None:
    """On every kind of layer, in every form of a kernel's adapter."""
    made = of_zoo(network, LowRank(rank=2, conv=conv))  # type: ignore[arg-type]
    assert_same(made, ZOO[network].inputs())


class Limited(nn.Linear):
    """Limits its weight before it uses it, as EEGNet's layers do."""

    def forward(self, x: Tensor) -> Tensor:
        self.weight.data = torch.renorm(self.weight.data, p=2, dim=0, maxnorm=0.5)
        return super().forward(x)


class Clipped(nn.Linear):
    """The same without gradients, in place."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.weight.clamp_(-0.2, 0.2)
        return super().forward(x)


class Rescaled(nn.Linear):
    """Scales the gradient of its weight by a hook."""

    def forward(self, x: Tensor) -> Tensor:
        if self.weight.requires_grad:
            self.weight.register_hook(lambda gradient: 0.5 * gradient)
        return super().forward(x)


class Saving(nn.Module):
    """Forgets what is inside, in one way or another, and makes it again going backward."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.first, self.last, self.reentrant = nn.Linear(4, 6), nn.Linear(6, 4, bias=False), reentrant

    def forward(self, x: Tensor) -> Tensor:
        arguments = (x, self.first.weight, self.first.bias, self.last.weight)
        result: Tensor = checkpoint(self._run, *arguments, use_reentrant=self.reentrant)
        return result

    def _run(self, x: Tensor, first: Tensor, bias: Tensor, last: Tensor) -> Tensor:
        return F.linear(F.linear(x, first, bias).tanh(), last) + x @ last[:, :4]


CUSTOM: dict[str, Callable[[], nn.Module]] = {
    "limited": lambda: nn.Sequential(Limited(4, 6), nn.Tanh(), nn.Linear(6, 2)),
    "clipped": lambda: nn.Sequential(Clipped(4, 6), nn.Tanh(), nn.Linear(6, 2)),
    "a hook": lambda: nn.Sequential(Rescaled(4, 6), nn.Tanh(), nn.Linear(6, 2)),
    "a checkpoint": lambda: nn.Sequential(Saving(reentrant=False), nn.Linear(4, 2)),
    "a reentrant checkpoint": lambda: nn.Sequential(Saving(reentrant=True), nn.Linear(4, 2)),
    "parametrized": lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 6)), nn.Linear(6, 2)),
}


@pytest.mark.usefixtures("every_size", "way")
@pytest.mark.parametrize("name", CUSTOM)
def test_layers_may_do_with_their_weights_what_they_like(name: str) -> None:
    # One preference: of what is merged for several at once, torch lets nobody change one in place.
    assert_same(model_of(CUSTOM[name]), torch.randn(5, 4), PREFERENCES[:1])


def large() -> nn.Module:
    return nn.Sequential(nn.Conv2d(256, 256, 3, padding=1), nn.Flatten(), nn.Linear(1024, 512), nn.Linear(512, 4))


def test_large_weights_are_not_made_where_applying_them_costs_less(monkeypatch: pytest.MonkeyPatch) -> None:
    theta = plugged(model_of(large))(PREFERENCES[:1])[0]
    assert [name for name, value in theta.items() if isinstance(value, AdaptedWeight)] == ["0.weight", "2.weight"]
    made: list[torch.Size] = []
    original = AdaptedWeight._merged
    monkeypatch.setattr(AdaptedWeight, "_merged", lambda self: (made.append(self.shape), original(self))[1])
    x = torch.randn(2, 256, 2, 2)
    features = F.conv2d(x, theta["0.weight"], theta["0.bias"], (1, 1), (1, 1), (1, 1), 1)
    F.linear(features.flatten(1), theta["2.weight"], theta["2.bias"])
    assert made == []
    F.conv2d(torch.randn(64, 256, 8, 8), theta["0.weight"], theta["0.bias"], (1, 1), (1, 1), (1, 1), 1)
    F.linear(torch.randn(8192, 1024), theta["2.weight"], theta["2.bias"])
    assert made == [theta["0.weight"].shape, theta["2.weight"].shape]


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_by_name_is_merged(padding: str) -> None:
    made = model_of(lambda: nn.Conv2d(128, 128, 3, padding=padding))
    theta, merged = plugged(made)(PREFERENCES[:1])[0], made.weights(PREFERENCES[0])
    assert isinstance(theta["weight"], AdaptedWeight)
    x = torch.randn(1, 128, 3, 3)
    torch.testing.assert_close(
        F.conv2d(x, theta["weight"], None, (1, 1), padding, (1, 1), 1),
        F.conv2d(x, merged["weight"], None, (1, 1), padding, (1, 1), 1),
    )


def test_weights_of_other_layers_and_small_ones_are_merged_at_once() -> None:
    """By one node where they are large: a transposed convolution cannot apply its adapter."""
    made = model_of(lambda: nn.Sequential(nn.ConvTranspose2d(128, 128, 3), nn.Linear(4, 4), nn.Linear(400, 400)))
    theta = plugged(made)(PREFERENCES[:1])[0]
    kinds = {name: type(theta[name].grad_fn).__name__ for name in ("0.weight", "1.weight", "2.weight")}
    assert kinds == {"0.weight": "_MergedBackward", "1.weight": "AddmmBackward0", "2.weight": "_InGraphBackward"}


@pytest.mark.parametrize(
    ("changes", "training", "device"),
    [
        ({"balancing": (GradientBalancing(),)}, Training(), "cpu"),
        ({}, Training(compile=True), "cpu"),
        ({}, Training(), "meta"),
    ],
    ids=["gradients of tasks", "compiled", "an accelerator"],
)
def test_elsewhere_large_weights_are_merged_by_one_node(
    changes: dict[str, Any], training: Training, device: str
) -> None:
    made = model_of(large).to(device)
    step = Step(made, TASKS, method(**changes), evolve(CPU, device=torch.device(device)))
    assert AdapterLayers.declines(step, training) is None
    AdapterLayers(step, training)
    assert not isinstance(step.weights, AdapterLayers)
    assert isinstance(made.space, LowRankSpace)
    assert made.space.merge is merge.merged_by_node


@pytest.mark.parametrize(
    ("make", "weights", "reason"),
    [
        (large, ConvexHull(), "the weight space has no adapters"),
        (lambda: nn.Linear(4, 4), LowRank(), "no adapted weight has 131,072 elements or more"),
    ],
    ids=["another space", "a small network"],
)
def test_what_has_no_large_adapter_is_left_alone(
    make: Callable[[], nn.Module], weights: WeightSpaceConfig, reason: str
) -> None:
    assert AdapterLayers.declines(step_of(model_of(make, weights), weights=weights), Training()) == reason
