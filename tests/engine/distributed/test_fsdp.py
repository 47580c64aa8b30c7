"""Sharded parameters in two processes: the gradients, steps, fronts and checkpoints of one process with whole ones."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve
from torch import Tensor
from torch.distributed.tensor import DTensor

from moframework.config.structure import build
from moframework.engine.checkpoint import read_checkpoint
from moframework.engine.distributed.fsdp import shard_parameters
from moframework.engine.distributed.optimizer_sharding import check_sharding
from moframework.engine.method import Method
from moframework.engine.settings import Training
from moframework.errors import InterruptedRun, SpecError
from moframework.model import ParetoModel
from moframework.objectives.balancing import GradientBalancing
from moframework.objectives.linear import Linear
from moframework.objectives.uncertainty import Uncertainty
from moframework.preferences.annealed import Annealed
from moframework.processes.world import World
from moframework.weights import WeightSpaceConfig
from moframework.weights.chunked_hypernetwork import ChunkedHypernetwork
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.low_rank import LowRank
from tests.engine.conftest import CPU, method
from tests.engine.distributed.processes import in_processes
from tests.engine.distributed.test_process_group import StopAt, close, raised, spoiled
from tests.engine.distributed.test_process_group import trained as in_group
from tests.weights.test_spaces import model as of_zoo
from tests.weights.zoo import ZOO

CPU_DEVICE = torch.device("cpu")
CHANNELS_LAST = evolve(CPU, memory_format=torch.channels_last)
AT = torch.tensor([0.3, 0.7])
# Those whose weights are not one layer's, or not separately called, are refused at once or when they run.
REFUSED = {"tied", "recurrent", "odd"}
REFUSED_RUNNING = {
    "read by another": "reads layer.weight outside the layer that it belongs to",
    "mapped": "the layer of layer.weight runs inside a transform such as vmap",
}
SPACES: dict[str, WeightSpaceConfig] = {
    "low rank": LowRank(rank=2),
    "peft": LowRank(rank=2, conv="peft"),
    "separable": LowRank(rank=2, conv="separable"),
    "hull": ConvexHull(),
}
NETWORKS = [name for name in ZOO if name not in REFUSED | REFUSED_RUNNING.keys()]


def made(network: str, space: str) -> tuple[ParetoModel, Tensor]:
    """A model, the same in all processes, and four inputs."""
    torch.manual_seed(0)
    model = of_zoo(network, SPACES[space])
    CHANNELS_LAST.move(model)  # as training has it, where there are kernels of images
    return model, torch.cat([ZOO[network].inputs() for _ in range(4)])[:4]


def gradients(world: World, network: str, space: str) -> dict[str, Tensor]:
    """Of the mean of squares over a batch that the processes share, by the whole space's names. Layers that mix
    samples are in evaluation mode."""
    model, x = made(network, space)
    shards = shard_parameters(model, CPU_DEVICE) if world.size > 1 else None
    own = x[world.rank * 2 : world.rank * 2 + 2] if shards else x
    for preference in (AT, AT.flip(0)):  # two passes, whose gradients add up
        model(own, preference)["y"].square().mean().backward()
    if shards is None:
        return {name: p.grad for name, p in model.space.named_parameters() if p.grad is not None}
    found = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in shards.root.named_parameters()}
    return shards.unshard_values(found)


def held(world: World) -> dict[str, Any]:
    """What a process holds of a network, and what is left of θ(λ) between the passes."""
    model, x = made("conv2d", "low rank")
    whole = sum(p.numel() for p in model.space.parameters())
    shards = shard_parameters(model, CPU_DEVICE)
    left: list[weakref.ref[Tensor]] = []
    for unit in shards.units:
        unit.register_forward_hook(lambda _, __, theta: left.extend(weakref.ref(value) for value in theta.values()))
    outputs = model(x, AT)
    gc.collect()
    alive = sum(reference() is not None for reference in left)
    outputs["y"].sum().backward()
    with pytest.raises(RuntimeError):
        model(x[:, :1], AT)  # a layer refuses its input
    inside = len(shards._contexts) + sum(
        value is not None for registry, key, _ in model.network.slots for value in (registry[key],)
    )
    restored = shards.unsharded()
    before = made("conv2d", "low rank")[0].space
    alike = all(torch.equal(a, b) for a, b in zip(restored.parameters(), before.parameters(), strict=True))
    orders = [p.is_contiguous(memory_format=torch.channels_last) for p in restored.parameters() if p.dim() == 4]
    local = sum(p.to_local().numel() for p in model.parameters() if isinstance(p, DTensor))
    return {
        "whole": whole,
        "local": local,
        "made": len(left),
        "alive": alive,
        "inside": inside,
        "restored": alike and all(orders) and len(orders) > 0,
    }


def trained(
    world: World,
    folder: Path,
    weights: WeightSpaceConfig,
    parts: Method | None = None,
    **options: Any,
) -> dict[str, Tensor]:
    """As in `test_process_group`, with sharded parameters where there are several processes."""
    parts = method(weights=weights, objective=Uncertainty()) if parts is None else parts
    parameters = "sharded" if world.size > 1 else "replicated"
    return in_group(world, folder, parts=parts, parameters=parameters, **options)


TRAININGS: dict[str, dict[str, Any]] = {
    "low rank": {"weights": LowRank(rank=1)},
    "hull": {"weights": ConvexHull()},
    "adagrad": {"weights": LowRank(rank=1), "optimizer": "adagrad"},
    "nadam": {"weights": ConvexHull(), "optimizer": "nadam"},
    "skipped": {"weights": LowRank(rank=1), "data": spoiled(), "on_nonfinite": "skip"},
    "split": {
        "weights": LowRank(rank=1),
        "parts": method(weights=LowRank(rank=1), objective=Linear(), preferences=Annealed(per_batch=2, batch="split")),
    },
}


def everything(world: World, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {
        "gradients": {(n, s): gradients(world, n, s) for n in NETWORKS for s in SPACES},
        "held": held(world),
        "refused": {name: raised(lambda name=name: gradients(world, name, "hull")) for name in REFUSED_RUNNING},
    }
    for name, options in TRAININGS.items():
        found[name] = trained(world, folder / name, **options)
    found["stopped"] = raised(lambda: trained(world, folder / "stopped", LowRank(rank=1), stop=StopAt(3)))
    found["resumed"] = trained(world, folder / "begun alone", LowRank(rank=1), resume=True)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fsdp")


@pytest.fixture(scope="module")
def both(folder: Path) -> list[dict[str, Any]]:
    with pytest.raises(InterruptedRun):
        trained(World(), folder / "begun alone", LowRank(rank=1), stop=StopAt(3))
    found: list[dict[str, Any]] = in_processes(everything, folder, folder)
    return found


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_are_those_of_one_process(network: str, space: str, both: list[dict[str, Any]]) -> None:
    expected = gradients(World(), network, space)
    found = both[0]["gradients"][network, space]
    assert expected.keys() <= found.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected.get(name, torch.zeros_like(value)), rtol=1e-5, atol=1e-6, msg=name)


def test_a_process_holds_its_share_and_no_weights_between_the_passes(both: list[dict[str, Any]]) -> None:
    first, second = (found["held"] for found in both)
    assert first["local"] + second["local"] == first["whole"]
    assert abs(first["local"] - second["local"]) < 0.2 * first["whole"]
    assert first["made"] > 0
    assert first["alive"] == second["alive"] == 0
    assert [first["restored"], second["restored"]] == [True, True], "the same values in the same memory order"
    assert first["inside"] == 0, "where a layer failed, no weight stays in place"


@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_is_that_of_one_process(name: str, both: list[dict[str, Any]], folder: Path, tmp_path: Path) -> None:
    expected = trained(World(), tmp_path, **TRAININGS[name])
    for found in both:
        close(found[name], expected)
    checkpoint, alone = read_checkpoint(folder / name / "last.pt"), read_checkpoint(tmp_path / "last.pt")
    close(checkpoint["model"], alone["model"])
    whole, plain = checkpoint["optimizer"], alone["optimizer"]
    assert whole["param_groups"] == plain["param_groups"]
    assert whole["state"].keys() == plain["state"].keys()
    for index, entries in plain["state"].items():
        close(whole["state"][index], entries)
    np.testing.assert_allclose(checkpoint["best"]["hypervolume"], alone["best"]["hypervolume"], rtol=1e-4)


def test_any_number_of_processes_goes_on(both: list[dict[str, Any]], folder: Path, tmp_path: Path) -> None:
    expected = trained(World(), tmp_path, LowRank(rank=1))
    assert both[1]["stopped"][0] == "InterruptedRun"
    close(trained(World(), folder / "stopped", LowRank(rank=1), resume=True), expected)
    for found in both:
        close(found["resumed"], expected)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("tied", "share a weight"),
        ("recurrent", "recurrent layers cannot be sharded"),
        ("odd", "weights that are single numbers"),
    ],
)
def test_networks_that_have_no_layers_of_their_own_are_refused(network: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        shard_parameters(of_zoo(network, LowRank()), CPU_DEVICE)


@pytest.mark.parametrize("network", REFUSED_RUNNING)
def test_weights_that_are_read_outside_their_layers_are_refused(network: str, both: list[dict[str, Any]]) -> None:
    for found in both:
        kind, words = found["refused"][network]
        assert kind == "SpecError"
        assert REFUSED_RUNNING[network] in words
        assert "use replicated" in words


@pytest.mark.parametrize("space", [ChunkedHypernetwork(hidden=(8,), chunk=16, embedding=3), LowRank(orthogonal=0.1)])
def test_spaces_without_pieces_are_refused(space: WeightSpaceConfig) -> None:
    with pytest.raises(SpecError, match="does not make θ\\(λ\\) layer by layer"):
        shard_parameters(of_zoo("linear", space), CPU_DEVICE)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"distributed": {"parameters": "sharded", "preferences": "spread"}}, "use shared"),
        ({"distributed": {"parameters": "sharded"}, "averaging": {}}, "training.averaging: use none"),
        ({"distributed": {"parameters": "sharded"}, "recompute": True}, "training.recompute: use false"),
        ({"distributed": {"parameters": "sharded"}, "compile": True}, "training.compile: use false"),
        ({"distributed": {"parameters": "sharded"}, "optimizer": {"name": "adafactor"}}, "elementwise|each number"),
        ({"distributed": {"parameters": "sharded"}, "precision": "fp16"}, "fp16"),
    ],
)
def test_options_that_need_whole_parameters_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        check_sharding(build(Training, options))


def test_gradients_of_single_tasks_are_refused(tmp_path: Path) -> None:
    class Two(World):
        size = 2

    parts = method(balancing=(GradientBalancing(),))
    with pytest.raises(SpecError, match="need the gradient of every task"):
        trained(Two(), tmp_path, LowRank(), parts=parts)
