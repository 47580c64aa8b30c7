"""Gradients at the features: where the heads begin, what a step descends, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from moframework import Task
from moframework.backbones.base import Backbone
from moframework.backbones.mlp import MLP
from moframework.config import config, option
from moframework.engine.boundary import find_boundary
from moframework.engine.extensions import extend
from moframework.engine.features import turned
from moframework.engine.settings import Training
from moframework.engine.step import Step
from moframework.errors import InterruptedRun, SpecError
from moframework.losses import L1, MSE, Loss
from moframework.objectives import Objective
from moframework.objectives.balancing import LossBalancing
from moframework.objectives.bayes_agg import BayesAgg
from moframework.objectives.features import FeatureAggregation, Features
from moframework.objectives.linear import Linear
from moframework.objectives.rotograd import RotoGrad
from moframework.preferences.annealed import Annealed
from moframework.preferences.single import Single
from moframework.weights.finite import Finite
from moframework.weights.low_rank import LowRank
from tests.engine.conftest import CPU, Conflict, Train, method, model_for, same_state, stop_at

EVEN = torch.tensor([[0.5, 0.5]])
ONE = Finite(anchors=((0.5, 0.5),))


class Sum(FeatureAggregation):
    """The sum of the gradients, and heads that are asked for."""

    needs_heads: ClassVar[bool] = True

    def combine(self, features: Features, preference: Tensor, state: nn.Module | None = None) -> Tensor:
        seen.append(features)
        return features.gradients.sum(dim=0)


class Turning(Sum):
    """Turns by a quarter."""

    needs_heads: ClassVar[bool] = False

    @property
    def turns(self) -> bool:
        return True

    def turn(self, features: Features, state: nn.Module | None) -> Tensor:
        d = features.values.shape[1]
        return torch.eye(d).roll(1, dims=0).expand(2, d, d)


seen: list[Features] = []


@config
class Apart(Conflict):
    """An output for each task, of a network that a test gives."""

    make: Callable[[], nn.Module] = option(help="makes the network")
    loss: Loss = option(MSE(), help="of the second task")

    @property
    def tasks(self) -> tuple[Task, ...]:
        return Task(name="sine", loss=MSE()), Task(name="cosine", loss=self.loss)

    @property
    def network(self) -> Backbone:
        return Made(make=self.make)


@config
class Made(Backbone):
    make: Callable[[], nn.Module] = option(help="makes the network")

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        return self.make()


class Net(nn.Module):
    """An encoder that draws masks and keeps statistics, and two heads; both are given by how they are run."""

    def __init__(self, run: Callable[[Any, Tensor], tuple[Tensor, Tensor]] | None = None, **modules: nn.Module) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(1, 6), nn.BatchNorm1d(6), nn.Dropout(0.3), nn.Tanh())
        self.left, self.right = nn.Linear(6, 1), nn.Linear(6, 1)
        for name, module in modules.items():
            setattr(self, name, module)
        self.run = run

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        z = self.encoder(x)
        left, right = (self.left(z), self.right(z)) if self.run is None else self.run(self, z)
        return {"sine": left, "cosine": right}


def stepped(problem: Conflict, training: Training | None = None, **changes: Any) -> tuple[Step, Any]:
    parts = method(**{"weights": ONE, "preferences": Single(), **changes})
    model = model_for(problem, parts)
    step = Step(model, problem.tasks, parts, CPU)
    extend(step, Training() if training is None else training)
    data = problem.data("train")
    return step, (data.inputs[:16], {key: value[:16] for key, value in data.targets.items()})


def test_the_sum_at_the_features_is_the_sum_of_the_gradients() -> None:
    """Of the shared part and of the heads, with masks and statistics of the plain step: finding the heads leaves both
    as they are."""
    found = []
    for objective in (Sum(), Linear()):
        step, batch = stepped(Apart(make=Net), objective=objective)
        torch.manual_seed(3)
        losses = step.run(*batch, EVEN)
        found.append((losses, [p.grad for p in step.model.space.parameters()], list(step.model.buffers())))
    torch.testing.assert_close(found[0][0], found[1][0])
    for one, other in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(one, 2 * other)
    for one, other in zip(found[0][2], found[1][2], strict=True):
        assert torch.equal(one, other)


def test_what_an_objective_is_given() -> None:
    seen.clear()
    step, (x, targets) = stepped(Apart(make=lambda: Net(encoder=nn.Linear(1, 6))), objective=Sum())
    targets["sine"][:3] = float("nan")
    losses = step.run(x, targets, EVEN)
    (given,) = seen
    theta = step.model.weights(EVEN[0])
    z = x @ theta["encoder.weight"].T + theta["encoder.bias"]
    torch.testing.assert_close(given.values, z)
    torch.testing.assert_close(given.losses, losses[0])
    residuals = (z @ theta["left.weight"].T + theta["left.bias"] - targets["sine"]).nan_to_num(0.0)
    torch.testing.assert_close(given.gradients[0], 2 * residuals @ theta["left.weight"] / 13)
    left, right = given.heads
    assert (left.task, right.task, left.likelihood) == ("sine", "cosine", "gaussian")
    torch.testing.assert_close(right.weight, theta["right.weight"])
    assert left.known.flatten().tolist() == [False] * 3 + [True] * 13


def test_adapters_get_the_gradient_too() -> None:
    """Of any weight space, since gradients go through θ(λ)."""
    found = []
    for objective in (Sum(), Linear()):
        problem = Apart(make=lambda: Net(encoder=nn.Linear(1, 6)))
        step, batch = stepped(problem, objective=objective, weights=LowRank(rank=2), preferences=Annealed(per_batch=2))
        step.run(*batch, torch.tensor([[0.5, 0.5], [0.5, 0.5]]))
        found.append([p.grad for p in step.model.space.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, 2 * other)


def boundary_of(make: Callable[[], nn.Module]) -> Any:
    step, batch = stepped(Apart(make=make), objective=Linear())
    return find_boundary(step, step.model.weights(EVEN[0]), *batch)


def deep(*more: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 4), nn.Tanh(), *more, nn.Linear(4, 1))


def test_where_heads_of_several_layers_begin() -> None:
    found = boundary_of(lambda: Net(left=deep(), right=deep(nn.Linear(4, 4))))
    assert found.first == ("left.0.weight", "right.0.weight")
    assert found.parameters[0] == ("left.0.weight", "left.0.bias", "left.2.weight", "left.2.bias")
    assert found.dim == 1
    heads = nn.ModuleDict({"a": nn.Linear(6, 1), "b": nn.Linear(6, 1)})
    called = boundary_of(lambda: Net(run=lambda net, z: (net.heads["a"](z), net.heads["b"](z)), heads=heads))
    assert called.first == ("heads.a.weight", "heads.b.weight")


def test_features_of_several_positions_are_rows() -> None:
    def make() -> nn.Module:
        encoder = nn.Sequential(nn.Unflatten(1, (1, 1)), nn.Conv1d(1, 3, 1), nn.Upsample(2))
        heads = {name: nn.Sequential(nn.Conv1d(3, 1, 2), nn.Flatten()) for name in ("left", "right")}
        return Net(encoder=encoder, **heads)

    found = boundary_of(make)
    assert found.dim == 1
    maps = torch.randn(5, 3, 2)
    rows = found.rows(maps)
    assert rows.shape == (10, 3)
    torch.testing.assert_close(rows[1], maps[0, :, 1])
    assert torch.equal(found.back(rows, maps), maps)
    step, batch = stepped(Apart(make=make), objective=RotoGrad(rate=0.1))
    losses = step.run(*batch, EVEN)
    before = step.model.weights(EVEN[0])["left.0.weight"].clone()
    step.review(*batch, EVEN, losses)
    after = step.model.weights(EVEN[0])["left.0.weight"]
    assert not torch.allclose(before, after)
    torch.testing.assert_close(before.norm(dim=1), after.norm(dim=1))


def two(run: Callable[[Any, Tensor], tuple[Tensor, Tensor]], **modules: nn.Module) -> Callable[[], nn.Module]:
    return lambda: Net(run=run, **modules)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (two(lambda net, z: (net.left(z.relu()), net.right(z))), "do not read the same tensor"),
        (two(lambda net, z: (net.left(z), net.left(z) + net.right(z))), "task 'sine' has no head"),
        (two(lambda net, z: (net.left(net.norm(z)), net.right(net.norm(z))), norm=nn.BatchNorm1d(6)), "same tensor"),
        (lambda: Net(left=nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 1))), "begin with one linear layer"),
        (lambda: Net(encoder=nn.Identity(), left=nn.Linear(1, 1), right=nn.Linear(1, 1)), "depend on no parameter"),
    ],
)
def test_networks_without_features_in_common_are_refused(make: Callable[[], nn.Module], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        boundary_of(make)


def test_a_way_around_the_features_is_refused() -> None:
    def run(net: Any, z: Tensor) -> tuple[Tensor, Tensor]:
        return net.left(z) * net.scale.weight, net.right(z) * net.scale.weight

    step, batch = stepped(Apart(make=two(run, scale=nn.Linear(1, 1))), objective=RotoGrad(rotate=False))
    with pytest.raises(SpecError, match=r"depend on 'scale\.weight' not by the features"):
        step.run(*batch, EVEN)


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (Conflict(), "task 'sine' has no head"),
        (Apart(make=lambda: Net(left=deep())), "must be one linear layer"),
        (Apart(make=two(lambda net, z: (net.left(z).exp(), net.right(z)))), "must be one linear layer"),
        (Apart(make=Net, loss=L1()), "no likelihood for the loss of task 'cosine', L1"),
    ],
)
def test_heads_without_a_posterior_are_refused(problem: Conflict, words: str) -> None:
    step, batch = stepped(problem, objective=BayesAgg())
    with pytest.raises(SpecError, match=words):
        step.run(*batch, EVEN)


def test_what_rotations_cannot_be_kept_in_is_refused() -> None:
    def run(net: Any, z: Tensor) -> tuple[Tensor, Tensor]:
        return net.left(z), net.right(z)

    class Skips(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 1)

        def forward(self, z: Tensor) -> Tensor:
            return self.layer(z) + z.square().sum(dim=1, keepdim=True) * z[:, :1]

    step, batch = stepped(Apart(make=two(run, left=Skips())), objective=RotoGrad())
    with pytest.raises(SpecError, match="'sine' reads the features by more than its first linear layer"):
        step.run(*batch, EVEN)
    step, batch = stepped(Apart(make=Net), objective=RotoGrad(), weights=LowRank(rank=2), preferences=Annealed())
    with pytest.raises(SpecError, match="keeps whole networks: single, multipoint or stl"):
        step.run(*batch, EVEN.expand(4, 2))


@pytest.mark.parametrize(
    ("training", "changes", "words"),
    [
        ({"accumulate": 2}, {}, "gradient accumulation"),
        ({"compile": True}, {}, "compiled networks"),
        ({}, {"balancing": (LossBalancing(),)}, "balancings"),
    ],
)
def test_what_does_not_go_with_it_is_refused(training: dict[str, Any], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        stepped(Apart(make=Net), Training(**training), objective=RotoGrad(), **changes)


def test_a_turned_head_says_of_features_what_it_said_of_turned_ones() -> None:
    step, (x, targets) = stepped(Apart(make=lambda: Net(encoder=nn.Linear(1, 6))), objective=Turning())
    theta = {name: value.clone() for name, value in step.model.weights(EVEN[0]).items()}
    losses = step.run(x, targets, EVEN)
    z = x @ theta["encoder.weight"].T + theta["encoder.bias"]
    q = torch.eye(6).roll(1, dims=0)
    expected = (z @ q.T) @ theta["left.weight"].T + theta["left.bias"]
    step.review(x, targets, EVEN, losses)
    torch.testing.assert_close(step.model(x, EVEN[0])["sine"], expected)
    torch.testing.assert_close(step.model.weights(EVEN[0])["right.weight"], turned(theta["right.weight"], q))
    before = step.model.weights(EVEN[0])["left.weight"].clone()
    step.review(x, targets, EVEN, losses)
    assert torch.equal(step.model.weights(EVEN[0])["left.weight"], before), "once a step"
    step.run(x, targets, EVEN)
    step.progressed(0.5)
    step.review(x, targets, EVEN, losses)
    assert torch.equal(step.model.weights(EVEN[0])["left.weight"], before), "not of a step that was skipped"


@pytest.mark.parametrize("objective", [BayesAgg(samples=8), RotoGrad(rate=0.01)], ids=["bayes_agg", "rotograd"])
def test_a_killed_training_resumes_bitwise(objective: Objective, train: Train, tmp_path: Path) -> None:
    parts = method(weights=ONE, preferences=Single(), objective=objective)
    training = Training(epochs=3, batch_size=24, checkpoint_every=1)
    problem = Apart(make=Net)
    whole, _ = train(parts, training=training, problem=problem, folder=tmp_path / "whole")
    with pytest.raises(InterruptedRun):
        train(parts, training=training, problem=problem, stop=stop_at(3))
    again, fitted = train(parts, training=training, problem=problem, resume=True)
    assert fitted.steps == 6
    assert same_state(whole.state_dict(), again.state_dict())
    states = [torch.load(folder / "last.pt")["objective"] for folder in (tmp_path / "whole", tmp_path / "checkpoints")]
    assert same_state(*states)
    assert any(value.is_floating_point() and bool(value.any()) for value in states[0].values())


def test_a_skipped_step_turns_nothing(train: Train) -> None:
    problem = Apart(make=Net)
    data = problem.data("train")
    data.targets["sine"][:] = float("inf")
    parts = method(weights=ONE, preferences=Single(), objective=RotoGrad(rate=0.1))
    torch.manual_seed(0)
    before = model_for(problem, parts).state_dict()
    model, fitted = train(
        parts, problem=problem, data=data, training=Training(epochs=1, batch_size=32, on_nonfinite="skip")
    )
    assert fitted.skipped_steps == 2
    assert same_state(model.state_dict(), before)


def test_the_backbones_of_ours_have_features() -> None:
    problem = Conflict()
    network = MLP(hidden=(4,)).build((1,), {"sine": 1, "cosine": 1})
    found = boundary_of(lambda: network)
    assert found.first == ("heads.to_sine.weight", "heads.to_cosine.weight")
    assert problem.tasks[0].output_key == "y"
