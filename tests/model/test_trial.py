"""Networks that cannot have their weights put in place for a pass are told before training."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from moframework import ParetoModel
from moframework.backbones.base import Backbone
from moframework.config import config, option
from moframework.errors import SpecError
from moframework.model import Recipe
from moframework.model.trial import check_passes
from moframework.weights import WeightSpaceConfig
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.low_rank import LowRank


class Again(torch.autograd.Function):
    """An activation checkpoint of its own making: it runs a part again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, part: nn.Module, x: Tensor) -> Tensor:
        ctx.part = part
        ctx.save_for_backward(x)
        result: Tensor = part(x)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor | None]:
        (x,) = ctx.saved_tensors
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            torch.autograd.backward(ctx.part(x), gradient)
        return None, x.grad


class OwnCheckpoint(nn.Module):
    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = Again.apply(self.part, x)
        return result


class Shrinking(nn.Linear):
    """Changes its weight, in training or in use."""

    when = True

    def forward(self, x: Tensor) -> Tensor:
        if self.training is self.when:
            with torch.no_grad():
                self.weight.mul_(0.99)
        return super().forward(x)


class Limiting(nn.Linear):
    """Limits its weight before it uses it."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.weight.clamp_(-0.1, 0.1)
        return super().forward(x)


class ShrinkingInUse(Shrinking):
    when = False


class Drawing(nn.Module):
    """Noise from generators that torch knows nothing of."""

    def __init__(self, draw: Callable[[], float]) -> None:
        super().__init__()
        self.draw = draw

    def forward(self, x: Tensor) -> Tensor:
        return x * self.draw()


class Counting(nn.Module):
    """What it gives depends on how often it ran."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.ones(()))

    count: Tensor

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return x * self.count


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 2)),
    "numpy": lambda: nn.Sequential(nn.Linear(4, 6), Drawing(np.random.rand), nn.Linear(6, 2)),
    "python": lambda: nn.Sequential(nn.Linear(4, 6), Drawing(random.random), nn.Linear(6, 2)),
    "unpredictable": lambda: nn.Sequential(nn.Linear(4, 6), Drawing(np.random.default_rng().random), nn.Linear(6, 2)),
    "counting": lambda: nn.Sequential(nn.Linear(4, 6), Counting(), nn.Linear(6, 2)),
    "own checkpoint": lambda: nn.Sequential(nn.Linear(4, 6), OwnCheckpoint(nn.Linear(6, 6)), nn.Linear(6, 2)),
    "own checkpoint of norms": lambda: nn.Sequential(nn.Linear(4, 6), OwnCheckpoint(nn.LayerNorm(6)), nn.Linear(6, 2)),
    "shrinking": lambda: nn.Sequential(Shrinking(4, 6), nn.Tanh(), nn.Linear(6, 2)),
    "shrinking in use": lambda: nn.Sequential(ShrinkingInUse(4, 6), nn.Tanh(), nn.Linear(6, 2)),
    "renormalizing": lambda: nn.Sequential(nn.Embedding(9, 3, max_norm=0.5), nn.Flatten(), nn.Linear(12, 2)),
    "limiting": lambda: nn.Sequential(nn.Linear(4, 6), Limiting(6, 6), nn.Linear(6, 2)),
    "failing": lambda: nn.Sequential(nn.Linear(5, 6)),
}


@config
class Network(Backbone):
    name: str = option(help="in `NETWORKS`")

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        return NETWORKS[self.name]()


def model(name: str, weights: WeightSpaceConfig) -> ParetoModel:
    torch.manual_seed(0)
    recipe = Recipe(tasks=("a", "b"), backbone=Network(name=name), input_shape=(4,), outputs={"y": 2}, weights=weights)
    return ParetoModel(recipe)


def drawn() -> bytes:
    """The state of numpy's random numbers."""
    state: Any = np.random.get_state()  # noqa: NPY002
    return bytes(state[1].tobytes())


def inputs(name: str) -> Tensor:
    return torch.randint(9, (3, 4)) if name == "renormalizing" else torch.randn(3, 4)


@pytest.mark.parametrize("weights", [LowRank(rank=1), ConvexHull()], ids=["low rank", "convex hull"])
@pytest.mark.parametrize("name", ["plain", "numpy", "python", "unpredictable", "counting", "failing"])
def test_what_is_right_passes_and_is_left_as_it_was(name: str, weights: WeightSpaceConfig) -> None:
    made = model(name, weights).eval()
    before = {key: value.clone() for key, value in made.state_dict().items()}
    x = inputs("plain")
    states = torch.get_rng_state(), random.getstate(), drawn()
    check_passes(made, x)
    torch.testing.assert_close(dict(made.state_dict()), before, rtol=0, atol=0)
    assert not made.skeleton.training
    assert all(parameter.grad is None for parameter in made.parameters())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert drawn() == states[2]


@pytest.mark.parametrize("weights", [LowRank(rank=1), ConvexHull()], ids=["low rank", "convex hull"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("own checkpoint", "cannot be trained with weights that are put in place .*TypeError.*switch that off"),
        ("own checkpoint of norms", r"gradient of .* is another .*cannot be followed\. Switch that off"),
        ("shrinking", r"changes its weights in place while it runs \(0\.weight\)"),
        ("shrinking in use", r"in place while it runs \(0\.weight\), and computes something else the next time"),
    ],
)
def test_what_is_wrong_is_told(name: str, words: str, weights: WeightSpaceConfig) -> None:
    made = model(name, weights)
    before = {key: value.clone() for key, value in made.state_dict().items()}
    with pytest.raises(SpecError, match=words):
        check_passes(made, inputs(name))
    torch.testing.assert_close(dict(made.state_dict()), before, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["limiting", "renormalizing"])
def test_weights_that_are_limited_before_use(name: str) -> None:
    """It is the same each time, so right where a weight space makes weights that can be changed."""
    check_passes(model(name, LowRank(rank=1)), inputs(name))
    with pytest.raises(SpecError, match=r"in place while it runs .*, which this weight space does not allow"):
        check_passes(model(name, ConvexHull()), inputs(name))
