"""One network with one weight space: a step of ours against plain networks with merged weights."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn

from moframework import ParetoModel
from moframework.backbones.base import Backbone, named_outputs
from moframework.engine.acceleration import accelerate
from moframework.engine.settings import Training
from moframework.engine.step import Step
from moframework.errors import MoframeworkError
from moframework.model import Recipe, inner_checkpoints
from moframework.model.trial import check_passes
from moframework.objectives.linear import Linear
from moframework.preferences.annealed import Annealed
from moframework.problem.task import Task
from moframework.weights import WeightSpaceConfig
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.hypernetwork import Hypernetwork
from moframework.weights.low_rank import LowRank
from tests.engine.acceleration.test_plugs import Distance, Square
from tests.engine.conftest import CPU, method

__all__ = ["SPACES", "Case", "Result", "compare"]

SPACES: dict[str, WeightSpaceConfig] = {
    "palora": LowRank(rank=2),
    "pamal": ConvexHull(),
    "phn": Hypernetwork(hidden=(3, 1)),  # the networks are what is asked about, so two features less than usual
}
"""The weight spaces of the solvers that have a continuous front."""

# Exact in single precision, in which operating points are asked for.
PREFERENCE = torch.tensor([[0.25, 0.75]], dtype=torch.float64)
LIMIT = 1e-6

Switch = Callable[[nn.Module, bool], bool]
"""Turns on the activation checkpoints of a network in place, in torch's reentrant form or the other; False where the
library has none for it."""


@frozen(kw_only=True)
class Case:
    """A network of a library.

    Attributes:
        library, family, network: what it is called.
        backbone: makes it; weights and shapes are small.
        shape: of one input.
        tokens: inputs are whole numbers below this; 0: fractions.
        outputs: of the network, by key; the two tasks read the first and the last.
        switch: turns on activation checkpoints.
        batch: samples; BatchNorm of pooled features needs two.
        dtype: double precision, but for networks that do not run in it by themselves.
    """

    library: str
    family: str
    network: str
    backbone: Backbone
    shape: tuple[int, ...]
    tokens: int = 0
    outputs: dict[str, int]
    switch: Switch
    batch: int = 2
    dtype: torch.dtype = torch.float64

    def inputs(self) -> Tensor:
        """A batch that is always the same."""
        generator = torch.Generator().manual_seed(1)
        if self.tokens:
            return torch.randint(self.tokens, (self.batch, *self.shape), generator=generator)
        return torch.randn(self.batch, *self.shape, generator=generator, dtype=torch.float64).to(self.dtype)


@frozen
class Result:
    """What a comparison found.

    Attributes:
        parameters: of the network.
        error: the largest difference, relative to the largest number of the tensor it is in.
        where: of what it is.
        parts: how many parts of the network were in checkpoints; None where the library has none.
        refused: why it is not trained, in the words of `check`; None where it is.
    """

    parameters: int = 0
    error: float = 0.0
    where: str = ""
    parts: int | None = None
    refused: str | None = None

    @property
    def equal(self) -> bool:
        """Whether nothing differs, or the network is refused."""
        return self.refused is not None or self.error <= LIMIT


def compare(case: Case, space: str) -> Result:
    """Gradients and buffers after a step, with and without the checkpoints of the library; the operating point, and the
    model that was saved and loaded."""
    try:
        model = _model(case, space)
        check_passes(model, case.inputs())
    except MoframeworkError as error:
        return Result(refused=str(error))
    tasks = _tasks(case)
    buffers = {name: value.clone() for name, value in model.skeleton.named_buffers()}
    step = Step(model, tasks, method(weights=SPACES[space], objective=Linear(), preferences=Annealed(per_batch=1)), CPU)
    accelerate(step, Training())
    wanted = _reference(case, model, tasks, buffers)
    errors: dict[str, float] = {}
    count: int | None = None
    try:
        for form in ("plain", "other", "reentrant"):
            if form != "plain" and not case.switch(model.skeleton, form == "reentrant"):
                continue
            try:
                with _counted() as parts:
                    found = _stepped(case, model, step, buffers)
            except ValueError as error:
                if form == "reentrant" and "Unexpected keyword arguments" in str(error):
                    continue  # torch's own: this form takes none, and the library gives some
                raise
            count = len(parts) if form != "plain" else None
            errors.update({f"{form}: {name}": value for name, value in _differences(found, wanted).items()})
    except MoframeworkError as error:
        return Result(refused=str(error))
    case.switch(model.skeleton, False)
    errors.update(_kept(case, model))
    where = max(errors, key=lambda name: errors[name])
    size = sum(value.numel() for value in model.weights(PREFERENCE[0]).values())
    return Result(size, errors[where], where, count)


def _model(case: Case, space: str) -> ParetoModel:
    torch.manual_seed(0)
    recipe = Recipe(
        tasks=("a", "b"),
        backbone=case.backbone,
        input_shape=case.shape,
        outputs=case.outputs,
        weights=SPACES[space],
    )
    model = ParetoModel(recipe).to(case.dtype).train()
    with torch.no_grad():
        for name, parameter in model.space.named_parameters():
            if name.startswith("b."):  # adapters begin at zero
                parameter.normal_(std=0.02)
    return model


def _tasks(case: Case) -> tuple[Task, ...]:
    first, *_, last = [*case.outputs, *case.outputs]
    return Task(name="a", loss=Square(), output=first), Task(name="b", loss=Distance(), output=last)


def _reference(
    case: Case, model: ParetoModel, tasks: tuple[Task, ...], buffers: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """From a plain network with merged weights, whose gradients are sent through θ(λ)."""
    network = model.at(PREFERENCE[0]).train()
    torch.manual_seed(2)
    outputs = _named(network(case.inputs()), case)
    losses = torch.stack([task.loss(outputs[task.output_key], torch.zeros(case.batch)) for task in tasks])
    (losses * PREFERENCE[0].to(losses)).sum().backward()  # type: ignore[no-untyped-call]
    reached = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    theta = model.weights(PREFERENCE[0])
    model.zero_grad()
    torch.autograd.backward([theta[name] for name in reached], list(reached.values()))
    return _state(model, dict(network.named_buffers()))


def _named(result: Any, case: Case) -> dict[str, Tensor]:
    return named_outputs(result, list(case.outputs))


def _stepped(case: Case, model: ParetoModel, step: Step, buffers: Mapping[str, Tensor]) -> dict[str, Tensor]:
    with torch.no_grad():
        for name, buffer in model.skeleton.named_buffers():
            buffer.copy_(buffers[name])
    model.zero_grad()
    torch.manual_seed(2)
    step.execute(
        case.inputs(), {task.target_key: torch.zeros(case.batch) for task in step.tasks}, PREFERENCE.to(case.dtype)
    )
    return _state(model, dict(model.skeleton.named_buffers()))


def _state(model: ParetoModel, buffers: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {name: p.grad.clone() for name, p in model.space.named_parameters() if p.grad is not None}
    return {**found, **{f"buffer {name}": value.detach().clone() for name, value in buffers.items()}}


@torch.no_grad()
def _kept(case: Case, model: ParetoModel) -> dict[str, float]:
    """How far the operating point, and the model that was saved and loaded, are from the model."""
    model.eval()
    x = case.inputs()
    torch.manual_seed(3)
    own = model(x, PREFERENCE[0])
    torch.manual_seed(3)
    point = _named(model.at(PREFERENCE[0])(x), case)
    errors = {f"at: {key}": value for key, value in _differences(point, own).items()}
    model.float()
    x = x if case.tokens else x.float()
    torch.manual_seed(3)
    own = model(x, PREFERENCE[0].float())
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder)
        loaded = ParetoModel.load(folder, trust=True)
    torch.manual_seed(3)
    again = loaded(x, PREFERENCE[0].float())
    return {**errors, **{f"loaded: {key}": value for key, value in _differences(again, own).items()}}


def _differences(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, float]:
    """Of each tensor the largest difference over its largest number; tensors that are next to nothing beside all others
    have rounding alone, and are measured by those. What only one has counts as 1 where it is not zero."""
    scale = max((float(value.double().abs().max()) for value in wanted.values() if value.numel()), default=0.0)
    errors = {}
    for name in {*found, *wanted}:
        mine, other = found.get(name), wanted.get(name)
        if mine is None or other is None:
            there = mine if mine is not None else other
            errors[name] = 1.0 if there is not None and bool(there.any()) else 0.0
        elif mine.numel():
            size = max(float(other.double().abs().max()), 1e-6 * scale, 1e-300)
            difference = float((mine.double() - other.double()).abs().max()) / size
            errors[name] = difference if difference == difference else 1.0
    return errors


@contextmanager
def _counted() -> Iterator[list[int]]:
    """Counts the parts of networks that checkpoints put weights in place for."""
    parts: list[int] = []
    plain = inner_checkpoints._again

    def again(*args: Any) -> Any:
        parts.append(1)
        return plain(*args)

    inner_checkpoints._again = again  # type: ignore[assignment]
    try:
        yield parts
    finally:
        inner_checkpoints._again = plain
