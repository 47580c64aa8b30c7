"""A step of two processes against a step of one: losses, gradients and states are the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from attrs import evolve, field, frozen
from torch import Tensor, nn

from moframework import Task
from moframework.backbones.base import Backbone
from moframework.config import config, entries
from moframework.engine.distributed.partition import BySamples, make_partition
from moframework.engine.distributed.sync_batchnorm import synchronized
from moframework.engine.method import Method
from moframework.engine.settings import Distributed
from moframework.engine.step import Partition, Step
from moframework.errors import DataError, SpecError
from moframework.losses import MSE, Loss
from moframework.merging.hull import FrozenHull
from moframework.objectives import Objective
from moframework.objectives.balancing import GradientBalancing, LossBalancing
from moframework.objectives.dwa import DWA
from moframework.objectives.excess_mtl import ExcessMTL
from moframework.objectives.famo import FAMO
from moframework.objectives.from_torchjd import GradDrop
from moframework.objectives.hypervolume_gradient import HypervolumeGradient
from moframework.objectives.linear import Linear
from moframework.objectives.modo import MoDo
from moframework.objectives.moo_svgd import MOOSVGD
from moframework.objectives.multi_forward import MultiForward
from moframework.objectives.nash_mtl import NashMTL
from moframework.objectives.pareto_mtl import ParetoMTL
from moframework.objectives.rlw import RLW
from moframework.objectives.uncertainty import Uncertainty
from moframework.preferences.annealed import Annealed
from moframework.processes.world import World
from moframework.weights import WeightSpaceConfig
from moframework.weights.bilinear import Bilinear
from moframework.weights.chunked_hypernetwork import ChunkedHypernetwork
from moframework.weights.conditioned import Conditioned
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.experts import Experts
from moframework.weights.finite import Finite
from moframework.weights.hyper_lora import HyperLoRA
from moframework.weights.hypernetwork import Hypernetwork
from moframework.weights.loha import LoHa
from moframework.weights.lokr import LoKr
from moframework.weights.low_rank import LowRank
from tests.engine.conftest import CPU, Conflict, method, model_for
from tests.engine.distributed.processes import in_processes

PREFERENCES = torch.tensor([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])
SAMPLES = 13  # no multiple of 2 processes, nor of 3 preferences

SPACES: dict[str, WeightSpaceConfig] = {
    "low_rank": LowRank(rank=2, orthogonal=0.3),
    "bilinear": Bilinear(rank=2),
    "hyper_lora": HyperLoRA(rank=2, hidden=(5,)),
    "loha": LoHa(rank=2),
    "lokr": LoKr(rank=2),
    "experts": Experts(count=3, hidden=(5,)),
    "frozen_hull": FrozenHull(frozen=(0,)),
    "convex_hull": ConvexHull(),
    "hypernetwork": Hypernetwork(hidden=(5,)),
    "chunked_hypernetwork": ChunkedHypernetwork(hidden=(5,), chunk=8, embedding=3),
    "conditioned": Conditioned(),
    "finite": Finite(anchors=((0.2, 0.8), (0.5, 0.5), (0.9, 0.1))),
}


@config
class Gap(Loss):
    """No mean: how far the mean output for positive inputs is from that for negative targets, squared."""

    def statistics(self, output: Tensor, target: Tensor) -> Tensor:
        positive = (target > 0).to(output.dtype)
        value = output.squeeze(1)
        return torch.stack([value * positive, positive, value * (1 - positive), 1 - positive], dim=1)

    def finish(self, totals: Tensor) -> Tensor:
        one, n, other, k = totals.unbind(dim=-1)
        return 0.1 + (one / n.clamp_min(1) - other / k.clamp_min(1) - 1).square()


@config
class Norm(Backbone):
    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        return nn.Sequential(nn.Linear(input_shape[0], 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 1))


@config
class Unfair(Conflict):
    """One task is a mean, the other is not; flat targets."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        return (Task(name="sine", loss=MSE(), output="y"), Task(name="cosine", loss=Gap(), output="y"))

    def batch(self) -> tuple[Tensor, dict[str, Tensor]]:
        data = self.data("train")
        return data.inputs[:SAMPLES].double(), {
            key: value[:SAMPLES].flatten().double() for key, value in data.targets.items()
        }


@config
class Normalized(Unfair):
    @property
    def network(self) -> Backbone:
        return Norm()


@config
class Partial(Unfair):
    """Labels for some tasks only: a single one of the second task, which one of two processes has not."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        return Conflict().tasks

    def batch(self) -> tuple[Tensor, dict[str, Tensor]]:
        x, targets = super().batch()
        rows = torch.arange(SAMPLES)
        return x, {
            "sine": torch.where(rows % 2 == 0, targets["sine"], torch.nan),
            "cosine": torch.where(rows == SAMPLES - 1, targets["cosine"], torch.nan),
        }


@frozen(kw_only=True)
class Case:
    parts: Method
    preferences: str = "shared"
    problem: Unfair = field(factory=Unfair)
    synchronized: bool = False


def case(objective: Objective | None = None, batch: str = "shared", partition: str = "shared", **changes: Any) -> Case:
    drawn = Annealed(per_batch=3, batch=batch)
    parts = method(objective=Linear() if objective is None else objective, preferences=drawn, **changes)
    return Case(parts=parts, preferences=partition)


def cases() -> dict[str, Case]:
    divisions = ("shared", "spread")
    made = {f"{n}, {d}": case(weights=space, partition=d) for n, space in SPACES.items() for d in divisions}
    forms: dict[str, dict[str, Any]] = {
        "scalarization with parameters": {"objective": Uncertainty()},
        "scalarization with state": {"objective": DWA()},
        "reviewing scalarization": {"objective": FAMO()},
        "scalarization of all rows": {"objective": MultiForward(coefficient=2.0)},
        "hypervolume": {"objective": HypervolumeGradient(reference=(3.0, 3.0), coefficient=1.0)},
        "weighting": {"objective": NashMTL()},
        "weighting with state": {"objective": ParetoMTL()},
        "aggregation with sums": {"objective": ExcessMTL(rate=0.1)},
        "aggregation of all rows": {"objective": MOOSVGD()},
        "loss balancing": {"balancing": (LossBalancing(),)},
        "gradient balancing": {"balancing": (LossBalancing(), GradientBalancing())},
        "gradient balancing of all rows": {"objective": MultiForward(), "balancing": (GradientBalancing(),)},
        "split batch": {"batch": "split"},
        "split batch, all rows": {"batch": "split", "objective": MultiForward()},
        "a network for each row": {"weights": SPACES["finite"], "objective": MOOSVGD(), "batch": "split"},
    }
    for name, options in forms.items():
        for partition in divisions:
            made[f"{name}, {partition}"] = case(partition=partition, **options)
    # What draws random numbers for single rows draws others when rows are spread.
    made["random scalarization"] = case(RLW())
    made["random aggregation"] = case(GradDrop())
    # Where ranks share the samples, halves of the batch are others.
    made["weighting by halves, spread"] = case(MoDo(gamma=0.02), partition="spread")
    some: dict[str, dict[str, Any]] = {
        "balanced": {"balancing": (LossBalancing(), GradientBalancing())},
        "split": {"batch": "split", "objective": MultiForward()},
        "weighting": {"objective": NashMTL()},
        "state": {"objective": FAMO()},
    }
    for name, options in some.items():
        made[f"labels for some, {name}"] = evolve(case(**options), problem=Partial())
    norm = case(weights=ConvexHull())
    made["batch norm"] = evolve(norm, problem=Normalized(), synchronized=True)
    made["batch norm, per task"] = evolve(
        case(NashMTL(), weights=ConvexHull()), problem=Normalized(), synchronized=True
    )
    return made


def result(world: World, each: Case) -> dict[str, Tensor]:
    """Losses, gradients, buffers and states after two steps without an optimizer between."""
    model = model_for(each.problem, each.parts).double()
    with torch.no_grad():  # adapters away from zero
        for parameter in model.parameters():
            parameter.add_(torch.linspace(-0.3, 0.3, parameter.numel()).view(parameter.shape))
    schedule = each.parts.preferences
    partition = make_partition(world, Distributed(preferences=each.preferences), schedule, 2, SAMPLES)
    step = Step(model, each.problem.tasks, each.parts, CPU, partition)
    step.objective_states.double()
    order, _ = partition.local_samples(torch.arange(SAMPLES), SAMPLES, 3 if schedule.batch == "split" else 1)
    x, targets = each.problem.batch()
    x, targets = x[order], {key: value[order] for key, value in targets.items()}
    model.train()
    with synchronized(model.skeleton, world):
        for k in range(2):
            world.seed(k)
            losses = step.run(x, targets, PREFERENCES)
            step.review(x, targets, PREFERENCES, losses)
    trained = [*model.parameters(), *step.objective_states.parameters()]
    world.average_gradients(trained)
    step.partition.sync_states(step.objective_states)
    found = {f"gradient {i}": p.grad for i, p in enumerate(trained) if p.grad is not None}
    found.update({f"buffer {name}": value.double() for name, value in model.skeleton.named_buffers()})
    found.update({f"state {name}": value.double() for name, value in step.objective_states.named_buffers()})
    return {"losses": losses, **found}


def results(world: World) -> dict[str, dict[str, Tensor]]:
    return {name: result(world, each) for name, each in cases().items() if not missing(each)}


def missing(each: Case) -> list[str]:
    """What the case needs and is not installed, with what installs it."""
    return each.parts.objective.faults(2, len(PREFERENCES))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    found: list[dict[str, dict[str, Tensor]]] = in_processes(results, tmp_path_factory.mktemp("processes"))
    return found


def test_all_spaces_are_here() -> None:
    # Made from networks that are given, most of which do not train; or another space behind a map of the preference.
    of_others = {"merged", "routed", "aligned_heads", "tabulated", "pareto_merged", "mixed", "restricted"}
    known = {entry.name for entry in entries("weights") if entry.package == "moframework"}
    assert set(SPACES) == known - of_others


@pytest.mark.parametrize("name", list(cases()))
def test_two_processes_are_as_one(name: str, both: list[dict[str, dict[str, Tensor]]]) -> None:
    each = cases()[name]
    if missing(each):
        pytest.skip(missing(each)[0])
    expected = result(World(), each)
    first, second = (found[name] for found in both)
    assert expected.keys() == first.keys() == second.keys()
    assert any(key.startswith("gradient") for key in expected)
    for key, value in expected.items():
        torch.testing.assert_close(first[key], value, rtol=1e-6, atol=1e-8, msg=lambda text, key=key: f"{key}: {text}")
        assert torch.equal(first[key], second[key]), f"{key} differs between the processes"


class Two(World):
    """What one of two processes may know without asking the other."""

    def __init__(self, rank: int) -> None:
        self.rank, self.size = rank, 2


@pytest.mark.parametrize("splits", [1, 3])
def test_samples_are_divided_batch_by_batch(splits: int) -> None:
    order = torch.randperm(45, generator=torch.Generator().manual_seed(0))
    shares = [BySamples(Two(rank)).local_samples(order, 13, splits) for rank in range(2)]
    parts = [own.split(size) for own, size in shares]
    assert [len(part) for part in parts] == [4, 4]
    for k, batch in enumerate(order.split(13)):
        for j, split in enumerate(batch.tensor_split(splits)):
            together = torch.cat([part[k].tensor_split(splits)[j] for part in parts])
            assert torch.equal(together, split), "each rank's split is its share of the whole one"


def test_a_single_process_keeps_its_order() -> None:
    order = torch.arange(7)
    own, size = Partition().local_samples(order, 4, 3)
    assert own is order
    assert size == 4


def test_too_few_preferences_or_samples_are_refused() -> None:
    schedule = Annealed(per_batch=1)
    with pytest.raises(SpecError, match="1 preferences a step cannot be spread over 2"):
        make_partition(Two(0), Distributed(preferences="spread"), schedule, 2, 8)
    with pytest.raises(DataError, match="divided into 4 parts, by 2 processes and 2 preferences"):
        make_partition(Two(0), Distributed(), Annealed(per_batch=2, batch="split"), 2, 3)
    assert make_partition(World(), Distributed(preferences="spread"), schedule, 2, 1).local_preferences(3) == range(3)
