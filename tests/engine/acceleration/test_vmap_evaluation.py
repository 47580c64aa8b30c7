"""Forward passes of several preferences: in one and in turn they give the same."""

from __future__ import annotations

import pytest
import torch
from attrs import evolve
from torch import Tensor, nn

from moframework.backbones.base import Backbone
from moframework.backbones.lenet import LeNet
from moframework.backbones.mlp import MLP
from moframework.backbones.resnet import ResNet
from moframework.backbones.vit import ViT
from moframework.engine.acceleration import vmap_evaluation as module
from moframework.engine.acceleration.vmap_evaluation import Passes
from moframework.model import ParetoModel, Recipe
from moframework.weights import WeightSpaceConfig
from moframework.weights.chunked_hypernetwork import ChunkedHypernetwork
from moframework.weights.conditioned import Conditioned
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.low_rank import LowRank
from tests.engine.conftest import CPU

POINTS = torch.tensor([[1.0, 0.0], [0.7, 0.3], [0.0, 1.0]])
# Measures as on an accelerator; nothing is put there.
MEASURING = evolve(CPU, device=torch.device("meta"))


def model(weights: WeightSpaceConfig, backbone: Backbone | None = None) -> ParetoModel:
    recipe = Recipe(
        tasks=("a", "b"),
        backbone=backbone or LeNet(channels=(2,), hidden=4),
        input_shape=(3, 16, 16),
        outputs={"a": 3, "b": 2},
        weights=weights,
    )
    made = ParetoModel(recipe)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(1 + 0.1 * torch.randn_like(parameter))
    return made.eval()


def thetas(made: ParetoModel) -> list[dict[str, Tensor]]:
    with torch.no_grad():
        return [made.weights(point) for point in POINTS]


@pytest.mark.parametrize(
    ("weights", "backbone"),
    [
        (LowRank(), None),
        (ConvexHull(), MLP(hidden=(5,))),
        (ConvexHull(), ResNet(depth=18)),
        (LowRank(), ViT(patch=8, width=12, depth=1, heads=2)),
        (Conditioned(), None),
        (ChunkedHypernetwork(), None),
    ],
    ids=lambda part: type(part).__name__,
)
@torch.no_grad()
def test_one_pass_gives_what_several_give(weights: WeightSpaceConfig, backbone: Backbone | None) -> None:
    made, x = model(weights, backbone), torch.randn(4, 3, 16, 16)
    found = [list(Passes(made, thetas(made), CPU, vectorized)(x)) for vectorized in (True, False)]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_same_weights_at_each_preference() -> None:
    made, x = model(LowRank()), torch.randn(4, 3, 16, 16)
    theta = made.weights(POINTS[0])
    one, other = Passes(made, [theta, theta], CPU, True)(x)
    torch.testing.assert_close(one, other)


def chosen(monkeypatch: pytest.MonkeyPatch, made: ParetoModel, one: float, many: float) -> tuple[Passes, list[str]]:
    """Passes that measure, with a clock that says what we want."""
    asked: list[str] = []

    def seconds(self: Passes, call: object, x: Tensor) -> float:
        name = getattr(call, "__name__", "")
        asked.append(name)
        list(call(x))  # type: ignore[operator]
        return one if name == "_in_one" else many

    monkeypatch.setattr(Passes, "_seconds", seconds)
    return Passes(made, thetas(made), MEASURING), asked


@torch.no_grad()
@pytest.mark.parametrize("faster", [True, False])
def test_the_faster_is_taken_and_remembered(faster: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made, x = model(LowRank()), torch.randn(4, 3, 16, 16)
    passes, asked = chosen(monkeypatch, made, 1.0, 2.0 if faster else 0.5)
    expected = list(Passes(made, thetas(made), CPU, faster)(x))
    for _ in range(2):
        for one, other in zip(passes(x), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
    again = Passes(made, thetas(made), MEASURING)
    list(again(x))
    assert asked == ["_in_one", "_in_turn"]
    assert bool(again._stacked) is faster


@torch.no_grad()
def test_a_network_that_cannot_be_vectorized_runs_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    class Branching(Backbone):
        def build(self, input_shape: tuple[int, ...], outputs: object) -> nn.Module:
            class Network(nn.Module):
                def __init__(self) -> None:
                    super().__init__()
                    self.layer = nn.Linear(16, 3)

                def forward(self, x: Tensor) -> dict[str, Tensor]:
                    y = self.layer(x)
                    return {"a": y, "b": y if bool(y.sum() > 0) else -y}

            return Network()

    made, x = model(ConvexHull(), Branching()), torch.randn(4, 3, 16, 16)
    passes, asked = chosen(monkeypatch, made, 1.0, 2.0)
    assert len(list(passes(x))) == 3
    assert asked == ["_in_one"]
    assert module._FASTER[made]


def test_a_single_preference_is_not_vectorized() -> None:
    made = model(LowRank())
    assert Passes(made, thetas(made)[:1], MEASURING, True)._vectorized is False
