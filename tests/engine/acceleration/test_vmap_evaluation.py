"""One vectorized pass for several preferences: the outputs of passes one by one, where it applies and is faster."""

from __future__ import annotations

from functools import partial

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
from moframework.engine.acceleration.vmap_evaluation import VmapEvaluation
from moframework.engine.device import Placement
from moframework.engine.evaluate import one_by_one
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


def forced(made: ParetoModel, weights: list[dict[str, Tensor]]) -> VmapEvaluation:
    found = VmapEvaluation.when(made, weights, CPU, torch.empty(0), None)
    assert isinstance(found, VmapEvaluation)
    return found


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
    expected = one_by_one(made, thetas(made), CPU, x)
    for one, other in zip(forced(made, thetas(made))(x), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_same_weights_at_each_preference() -> None:
    made, x = model(LowRank()), torch.randn(4, 3, 16, 16)
    theta = made.weights(POINTS[0])
    one, other = forced(made, [theta, theta])(x)
    torch.testing.assert_close(one, other)


class Clock:
    """Says what we want passes to take, in place of the time that they take."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, one: float, many: float) -> None:
        self.seconds = {"VmapEvaluation": one, "partial": many}
        self.asked: list[str] = []
        monkeypatch.setattr(VmapEvaluation, "_seconds", lambda _, forward, x: self.taken(forward, x))

    def taken(self, forward: module.Forward, x: Tensor) -> float:
        self.asked.append(type(forward).__name__)
        list(forward(x))
        return self.seconds[self.asked[-1]]


def asked(made: ParetoModel, x: Tensor) -> VmapEvaluation | str:
    return VmapEvaluation.when(made, thetas(made), MEASURING, x, partial(one_by_one, made, thetas(made), MEASURING))


@torch.no_grad()
@pytest.mark.parametrize("faster", [True, False])
def test_the_faster_is_taken_and_remembered(faster: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made, x = model(LowRank()), torch.randn(4, 3, 16, 16)
    clock = Clock(monkeypatch, 1.0, 2.0 if faster else 0.5)
    for _ in range(2):
        found = asked(made, x)
        if isinstance(found, str):
            assert not faster
            assert "one by one are faster" in found
        else:
            assert faster
            for one, other in zip(found(x), forced(made, thetas(made))(x), strict=True):
                torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert clock.asked == ["VmapEvaluation", "partial"]
    asked(made, x[:3])
    assert len(clock.asked) == 4, "a batch of another shape is measured anew"


@torch.no_grad()
def test_a_network_that_cannot_be_vectorized_runs_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
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
    clock = Clock(monkeypatch, 1.0, 2.0)
    assert "all that the network can do" in str(asked(made, x))
    assert clock.asked == ["VmapEvaluation"]


@torch.no_grad()
def test_where_it_does_not_apply_it_says_why() -> None:
    made, x = model(LowRank()), torch.randn(4, 3, 16, 16)
    some = thetas(made)

    def reason(given: object, place: Placement = MEASURING, plain: module.Forward | None = None) -> str:
        found = VmapEvaluation.when(made, given, place, x, plain)  # type: ignore[arg-type]
        assert isinstance(found, str)
        return found

    assert reason(some[:1]) == "there is one preference"
    assert "too large" in reason(tuple(some))
    assert "on a CPU" in reason(some, CPU, partial(one_by_one, made, some, CPU))
    made.replace_space(made.space, lambda network, preference, x: {})
    assert "FSDP" in reason(some)
