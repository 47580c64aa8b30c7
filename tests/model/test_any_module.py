"""Networks that keep weights in other places than their parameters, or state that belongs to one network: they train as
the plain network does, are merged, saved and loaded."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from moframework import ParetoModel, SpecError, check, problem_from_parts, solve
from moframework.engine.acceleration.activation_checkpoint import checkpointed
from moframework.engine.distributed.sync_batchnorm import BufferSync
from moframework.model import Recipe
from moframework.model.pareto_model import ParetoModel as Model
from moframework.problem import Problem
from moframework.problem.from_parts import _backbone
from moframework.processes.world import World
from moframework.weights import WeightSpaceConfig
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.finite import Finite
from moframework.weights.low_rank import LowRank

ANCHORS = ((1.0, 0.0), (0.5, 0.5), (0.0, 1.0))
SPACES: dict[str, WeightSpaceConfig] = {
    "low_rank": LowRank(rank=1),
    "convex_hull": ConvexHull(),
    "finite": Finite(anchors=ANCHORS),
}
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The tensor attribute:UserWarning"),  # what torch.export says of hooks' weights
]
LAMBDA = torch.tensor([0.3, 0.7])


class Plain(nn.Module):
    """Two layers, and one in between that the cases change."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 2)
        self.changed()

    def changed(self) -> None: ...

    def inner(self, h: Tensor) -> Tensor:
        result: Tensor = self.middle(h)
        return result

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.last(torch.relu(self.inner(torch.relu(self.first(x)))))
        return result


class OldNormed(Plain):
    def changed(self) -> None:
        nn.utils.weight_norm(self.middle)


class OldSpectral(Plain):
    def changed(self) -> None:
        nn.utils.spectral_norm(self.middle)


class Pruned(Plain):
    def changed(self) -> None:
        prune.random_unstructured(self.middle, "weight", amount=0.5)  # type: ignore[no-untyped-call]
        prune.l1_unstructured(self.middle, "bias", amount=2)  # type: ignore[no-untyped-call]


class Normed(Plain):
    def changed(self) -> None:
        parametrizations.weight_norm(self.middle)


class Spectral(Plain):
    def changed(self) -> None:
        parametrizations.spectral_norm(self.middle)


class Orthogonal(Plain):
    def changed(self) -> None:
        parametrizations.orthogonal(self.middle)


class Lazy(Plain):
    def changed(self) -> None:
        self.middle = nn.LazyLinear(16)


class Listed(Plain):
    """Weights in a list and a dictionary beside the layer, as a network keeps them that uses them itself."""

    def changed(self) -> None:
        self.kept: dict[str, Any] = {"weights": [self.middle.weight], "bias": self.middle.bias}

    def inner(self, h: Tensor) -> Tensor:
        return nn.functional.linear(h, self.kept["weights"][0], self.kept["bias"])


class Held(Plain):
    """A ParameterList, and a weight that two layers share."""

    def changed(self) -> None:
        self.own = nn.ParameterList([nn.Parameter(torch.randn(16, 16) * 0.3)])
        self.again = nn.Linear(16, 16)
        self.again.weight = self.middle.weight

    def inner(self, h: Tensor) -> Tensor:
        result: Tensor = self.again(torch.relu(self.middle(h @ self.own[0])))
        return result


class Features(Plain):
    """Keeps what it computed, which is part of a graph."""

    def inner(self, h: Tensor) -> Tensor:
        self.seen = {"last": [self.middle(h)]}
        return self.seen["last"][0]


class Instance(Plain):
    def changed(self) -> None:
        self.norm = nn.InstanceNorm1d(4, track_running_stats=True)

    def inner(self, h: Tensor) -> Tensor:
        result: Tensor = self.norm(self.middle(h).view(len(h), 4, 4)).flatten(1)
        return result


class Averaging(Plain):
    """A buffer of its own, which it replaces."""

    scale: Tensor

    def changed(self) -> None:
        self.register_buffer("scale", torch.ones(()))

    def inner(self, h: Tensor) -> Tensor:
        if self.training:
            self.scale = 0.9 * self.scale + 0.1 * h.detach().abs().mean()
        result: Tensor = self.middle(h) / self.scale
        return result


class Norm(Plain):
    def changed(self) -> None:
        self.norm = nn.BatchNorm1d(16)

    def inner(self, h: Tensor) -> Tensor:
        result: Tensor = self.norm(self.middle(h))
        return result


class Recurrent(Plain):
    def changed(self) -> None:
        self.cell: nn.RNNBase = nn.GRU(4, 4, batch_first=True)

    def inner(self, h: Tensor) -> Tensor:
        result: Tensor = self.cell(h.view(len(h), 4, 4))[0].flatten(1)
        return result


class OldRecurrent(Recurrent):
    def changed(self) -> None:
        self.cell = nn.utils.weight_norm(nn.LSTM(4, 4, batch_first=True), "weight_hh_l0")


class PrunedRecurrent(Recurrent):
    def changed(self) -> None:
        self.cell = nn.RNN(4, 4, batch_first=True)
        prune.random_unstructured(self.cell, "weight_hh_l0", amount=0.5)  # type: ignore[no-untyped-call]


class SpectralRecurrent(Recurrent):
    def changed(self) -> None:
        self.cell = nn.utils.spectral_norm(nn.LSTM(4, 4, batch_first=True), "weight_ih_l0")


NETWORKS: list[type[Plain]] = [
    *(OldNormed, OldSpectral, Pruned, Normed, Spectral, Orthogonal, Lazy, Listed, Held, Features),
    *(Instance, Averaging, Norm, Recurrent, OldRecurrent, PrunedRecurrent, SpectralRecurrent),
]
STATEFUL: list[type[Plain]] = [OldSpectral, Spectral, Instance, Averaging, Norm, SpectralRecurrent]


def recipe(network: Callable[..., nn.Module], weights: WeightSpaceConfig) -> Recipe:
    backbone = _backbone(network, "auto")
    return Recipe(tasks=("a", "b"), backbone=backbone, input_shape=(16,), outputs={"y": 2}, weights=weights)


def trained(model: ParetoModel, steps: int = 6, rate: float = 0.05) -> ParetoModel:
    """After a few steps, at the anchors in turn; the last forward pass leaves its graph."""
    optimizer = torch.optim.SGD(model.parameters(), rate)
    for step in range(steps):
        optimizer.zero_grad()
        x = torch.randn(8, 16, generator=torch.Generator().manual_seed(step))
        (model.train()(x, torch.tensor(ANCHORS[step % 3]))["y"] - 1).square().mean().backward()
        optimizer.step()
    model(torch.randn(8, 16), torch.tensor(ANCHORS[steps % 3]))
    return model.eval()


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("network", NETWORKS)
def test_is_merged_saved_and_loaded(network: type[Plain], space: str, tmp_path: Path) -> None:
    model = trained(ParetoModel(recipe(network, SPACES[space])))
    x = torch.randn(5, 16)
    merged, outputs = model.at(LAMBDA), model(x, LAMBDA)["y"]
    torch.testing.assert_close(merged(x), outputs, rtol=0, atol=0)
    fresh = _backbone(network, "auto").built((16,), {"y": 2})
    assert [name for name, _ in merged.named_parameters()] == [name for name, _ in fresh.named_parameters()]
    fresh.load_state_dict(merged.state_dict())
    torch.testing.assert_close(fresh.eval()(x), outputs, rtol=0, atol=0)
    torch.testing.assert_close(copy.deepcopy(model.at(LAMBDA))(x), outputs, rtol=0, atol=0)
    torch.testing.assert_close(copy.deepcopy(model)(x, LAMBDA)["y"], outputs, rtol=0, atol=0)
    model.save(tmp_path)
    again = ParetoModel.load(tmp_path, trust=[network])
    torch.testing.assert_close(again(x, LAMBDA)["y"], outputs, rtol=0, atol=0)
    torch.testing.assert_close(again.at(LAMBDA)(x), outputs, rtol=0, atol=0)


@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_are_those_of_the_plain_network(network: type[Plain]) -> None:
    model = trained(ParetoModel(recipe(network, ConvexHull()))).double()
    plain = model.at(LAMBDA).train()
    x = torch.randn(7, 16).double()
    theta = model.weights(LAMBDA)
    own = {name: theta[name] for name, kept in model.network.trainable.items() if kept}
    found = torch.autograd.grad(model.train().call(theta, x)["y"].square().sum(), list(own.values()), allow_unused=True)
    plain(x).square().sum().backward()
    expected = dict(plain.named_parameters())
    assert any(gradient is not None and bool(gradient.any()) for gradient in found)
    for name, gradient in zip(own, found, strict=True):
        torch.testing.assert_close(gradient, expected[name].grad, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("network", STATEFUL)
def test_each_network_of_a_finite_set_has_the_state_of_one_trained_alone(network: type[Plain]) -> None:
    together = ParetoModel(recipe(network, Finite(anchors=ANCHORS)))
    alone = [together.at(anchor).train() for anchor in ANCHORS]
    optimizers = [torch.optim.SGD(one.parameters(), 0.05) for one in alone]
    for step in range(6):
        x = torch.randn(8, 16, generator=torch.Generator().manual_seed(step))
        one, optimizer = alone[step % 3], optimizers[step % 3]
        optimizer.zero_grad()
        (one(x) - 1).square().mean().backward()
        optimizer.step()
    trained(together, 6)
    alone[0](torch.randn(8, 16))  # as `trained` ends; what is compared is that of the others
    for k in (1, 2):
        merged = together.at(ANCHORS[k])
        for name, value in alone[k].state_dict().items():
            torch.testing.assert_close(merged.state_dict()[name], value, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("network", [OldSpectral, Spectral])
def test_a_normalized_weight_of_each_network_has_the_spectral_norm_1(network: type[Plain]) -> None:
    model = trained(trained(ParetoModel(recipe(network, Finite(anchors=ANCHORS))), 60), 900, 1e-4)
    for anchor in ANCHORS:
        weight = model.at(anchor).middle.weight  # type: ignore[union-attr]
        assert float(torch.linalg.matrix_norm(weight.detach(), 2)) == pytest.approx(1, abs=1e-3)  # type: ignore[arg-type]


@pytest.mark.parametrize("network", [OldSpectral, Spectral])
def test_calibration_finds_the_vectors_of_another_preference(network: type[Plain]) -> None:
    model = trained(ParetoModel(recipe(network, ConvexHull())), 3, 0.5)
    batches = [torch.randn(8, 16) for _ in range(400)]
    weight = model.at(LAMBDA, calibrate=batches).middle.weight  # type: ignore[union-attr]
    assert float(torch.linalg.matrix_norm(weight.detach(), 2)) == pytest.approx(1, abs=1e-3)  # type: ignore[arg-type]


def test_calibration_takes_running_statistics_of_instance_norm_anew() -> None:
    model = trained(ParetoModel(recipe(Instance, ConvexHull())))
    batches = [torch.randn(8, 16) for _ in range(3)]
    before = {name: value.clone() for name, value in model.named_buffers()}
    found = model.batch_statistics(LAMBDA.unsqueeze(0), batches)[0]
    plain = model.at(LAMBDA)
    seen = torch.cat([plain.middle(torch.relu(plain.first(x))).view(-1, 4, 4) for x in batches])  # type: ignore[operator]
    assert set(found) == {"norm.running_mean", "norm.running_var"}
    torch.testing.assert_close(found["norm.running_mean"], seen.mean(dim=(0, 2)))
    torch.testing.assert_close(found["norm.running_var"], seen.var(dim=2).mean(dim=0))
    torch.testing.assert_close(dict(model.named_buffers()), before, rtol=0, atol=0)
    assert not model.training


def test_no_batch_to_calibrate_from_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one batch"):
        ParetoModel(recipe(Spectral, ConvexHull())).at(LAMBDA, calibrate=[])


@pytest.mark.parametrize("space", ["convex_hull", "finite"])
@pytest.mark.parametrize("network", STATEFUL)
def test_a_forward_pass_made_again_leaves_the_state_of_one(network: type[Plain], space: str) -> None:
    once = ParetoModel(recipe(network, SPACES[space])).double().train()
    twice = copy.deepcopy(once)
    x, anchor = torch.randn(8, 16).double(), torch.tensor(ANCHORS[1])
    once(x, anchor)["y"].square().sum().backward()
    checkpointed(lambda: twice(x, anchor)["y"].square().sum(), twice).backward()
    torch.testing.assert_close(dict(twice.named_buffers()), dict(once.named_buffers()))
    for (name, one), other in zip(once.named_parameters(), twice.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, msg=name)


class Second(World):
    """The first of two processes, whose second has changed other buffers: what it would say is written down."""

    size = 2

    def __init__(self, changed: Tensor, running: list[Tensor]) -> None:
        self.changed, self.running = changed, running
        self.sources: list[tuple[int, int]] = []

    def all_gather(self, tensor: Tensor) -> Tensor:
        return torch.stack([tensor, self.changed])

    def all_reduce_sum(self, tensors: Any) -> list[Tensor]:
        return [own + other for own, other in zip(tensors, self.running, strict=True)]

    def broadcast(self, tensors: Any, source: int = 0) -> None:
        self.sources.append((source, len(tensors)))


def test_state_is_of_the_process_that_trained_the_network() -> None:
    model = Model(recipe(Norm, Finite(anchors=((1.0, 0.0), (0.0, 1.0))))).train()
    names = [name for name, _ in model.named_buffers()]
    theirs = torch.tensor([float(name.startswith("space.buffers_of_members.1.")) for name in names])
    second = [torch.full((16,), 5.0), torch.full((16,), 7.0)]
    world = Second(theirs, [torch.zeros(16), torch.zeros(16), *second])
    sync = BufferSync(model, world)
    model(torch.randn(8, 16), torch.tensor([1.0, 0.0]))
    own = model.at([1.0, 0.0]).norm.running_mean.clone()  # type: ignore[union-attr,operator]
    sync()
    assert torch.equal(model.at([1.0, 0.0]).norm.running_mean, own), "the other process never used it"  # type: ignore
    assert torch.equal(model.at([0.0, 1.0]).norm.running_mean, second[0])  # type: ignore[union-attr,arg-type]
    assert world.sources == [(0, 1), (1, 1)], "num_batches_tracked of the one and of the other"


def test_files_of_one_set_of_buffers_for_all_networks_are_read() -> None:
    model = trained(ParetoModel(recipe(Norm, Finite(anchors=ANCHORS))))
    old = {name: value for name, value in model.state_dict().items() if "buffers_of_members" not in name}
    old["skeleton.norm.running_mean"] = torch.full((16,), 3.0)
    model.load_state_dict(old)
    for anchor in ANCHORS:
        assert model.at(anchor).norm.running_mean.tolist() == [3.0] * 16  # type: ignore[union-attr,operator]


class InTuple(Plain):
    def changed(self) -> None:
        self.pair = (self.middle.weight, self.middle.bias)


def data(split: str) -> tuple[Tensor, dict[str, Tensor]]:
    x = torch.randn(32, 16, generator=torch.Generator().manual_seed(0))
    return x, {"a": x[:, :1], "b": x[:, 1:2]}


class Heads(nn.Module):
    """Any of the networks, with an output for each of two tasks."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        result: tuple[Tensor, ...] = self.network(x).split(1, dim=1)
        return result


def old_spectral() -> nn.Module:
    return Heads(OldSpectral())


def lazy() -> nn.Module:
    return Heads(Lazy())


def never_called() -> nn.Module:
    return nn.Sequential(nn.Embedding(4, 4), nn.LazyLinear(2))


def problem(net: str) -> Problem:
    return problem_from_parts({"a": {"loss": "mse"}, "b": {"loss": "mse"}}, globals()[net], data)


def spec(network: Callable[..., nn.Module], solver: str = "palora") -> dict[str, Any]:
    return {
        "problem": {"python": f"{__name__}:problem", "net": network.__name__},
        "solver": {"name": solver},
        "training": {"epochs": 1, "batch_size": 16, "device": "cpu"},
        "evaluate": {"points": 3, "every": 0},
    }


@pytest.mark.parametrize("network", [old_spectral, lazy])
@pytest.mark.parametrize("solver", ["palora", "multipoint"])
def test_is_solved(network: Callable[..., nn.Module], solver: str, tmp_path: Path) -> None:
    model = ParetoModel.load(solve(spec(network, solver), tmp_path / "run").path, trust=[network])
    x = torch.randn(4, 16)
    one, other = model(x, [0.0, 1.0]), model.at([0.0, 1.0])(x)
    torch.testing.assert_close(tuple(one.values()), other, rtol=0, atol=0)


def test_check_names_the_weights_that_adapters_leave_out(tmp_path: Path) -> None:
    told = "\n".join(check(spec(old_spectral)))
    assert "not adapted network.middle.weight_orig: " in told
    assert "convex_hull" in told
    assert "not adapted" not in "\n".join(check(spec(lazy)))
    run = solve(spec(old_spectral), tmp_path / "run")
    assert "not adapted network.middle.weight_orig" in (run.path / "log.txt").read_text()


@pytest.mark.parametrize("network", [Recurrent, Normed, Held])
def test_left_out_are_weights_of_other_layers(network: type[Plain]) -> None:
    expected = {
        Recurrent: ["cell.weight_ih_l0", "cell.weight_hh_l0"],
        Normed: ["middle.parametrizations.weight.original1"],
        Held: ["own.0"],
    }
    assert ParetoModel(recipe(network, LowRank(rank=1))).left_out() == expected[network]
    assert ParetoModel(recipe(network, ConvexHull())).left_out() == []


def test_weights_in_a_tuple_are_refused() -> None:
    with pytest.raises(SpecError, match=r"parameter middle\.(weight|bias) in the tuple pair.*let it be a list"):
        ParetoModel(recipe(InTuple, ConvexHull()))


def test_lazy_layers_that_cannot_be_called_are_refused() -> None:
    with pytest.raises(SpecError, match=r"the lazy layers 1 find their sizes.*Give these layers their sizes"):
        check(spec(never_called))


@pytest.mark.parametrize("network", [Plain, Listed, Norm, OldSpectral, Spectral, Recurrent, Features])
def test_the_model_is_whole_after_an_export(network: type[Plain]) -> None:
    model = trained(ParetoModel(recipe(network, LowRank(rank=1))))
    x = torch.randn(4, 16)
    before, modes = model(x, LAMBDA)["y"], [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    program = torch.export.export(model, (x, LAMBDA)).module()
    torch.testing.assert_close(program(x, LAMBDA)["y"], before)
    assert [module.training for module in model.modules()] == modes
    torch.testing.assert_close(dict(model.state_dict()), state, rtol=0, atol=0)
    torch.testing.assert_close(model(x, LAMBDA)["y"], before, rtol=0, atol=0)
    torch.testing.assert_close(model.at(LAMBDA)(x), before, rtol=0, atol=0)
    torch.testing.assert_close(ParetoModel(model.recipe).load_state_dict(model.state_dict()).missing_keys, [])
    trained(model)


class Branching(Plain):
    """Decides by its numbers, which cannot be exported."""

    def inner(self, h: Tensor) -> Tensor:
        result: Tensor = self.middle(h) if h.sum() > 0 else h
        return result


def test_the_model_is_whole_after_an_export_that_fails() -> None:
    model = trained(ParetoModel(recipe(Branching, LowRank(rank=1))))
    x = torch.randn(4, 16)
    before = model(x, LAMBDA)["y"]
    with pytest.raises(Exception, match="data-dependent"):
        torch.export.export(model, (x, LAMBDA))
    torch.testing.assert_close(model(x, LAMBDA)["y"], before, rtol=0, atol=0)
    torch.testing.assert_close(model.at(LAMBDA)(x), before, rtol=0, atol=0)
    trained(model)
