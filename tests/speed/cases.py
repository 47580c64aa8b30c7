"""What is measured: cases of contenders, each with what it may cost at most against the first of them."""

from __future__ import annotations

import contextlib
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from attrs import frozen
from torch import Tensor, nn

from moframework.backbones.base import Backbone
from moframework.config import build
from moframework.data import TensorData, batches
from moframework.engine.checkpoint import write_checkpoint
from moframework.io.atomic import atomic_write
from moframework.layers import lazy_weight
from moframework.layers.low_rank import Adapted, linear
from moframework.layers.low_rank_conv import Convolution, conv2d
from moframework.layers.shared_concat import shared_concat
from moframework.model import ParetoModel
from moframework.preferences.evaluation import evaluation_set
from moframework.run.plan import Plan
from moframework.weights.conditioned import ConditionedNetwork
from moframework.weights.low_rank import LowRankSpace
from tests.speed.contenders import (
    Step,
    divided_step,
    our_evaluation,
    our_step,
    palora_by_hand,
    plain_evaluation,
    plain_step,
)
from tests.speed.mixed import MIXED, mixed
from tests.speed.nets import NETS, Net, batch_of, planned
from tests.speed.solvers import palora
from tests.speed.synthetic import ATTRIBUTES, Attributes

__all__ = ["Case", "Contender", "cases"]


@frozen
class Contender:
    """What is called, and what it may cost."""

    call: Step
    limit: float | None = None
    """Largest ratio to the first contender of the case; None where nothing is promised."""
    per: float = 1.0
    """The ratio is divided by this before it is told and compared: a number of preferences, for example."""


@frozen
class Case:
    """Contenders that take turns; `make` builds them, so that only what is measured is built."""

    name: str
    """`step/lenet`: what is measured, then on what."""
    make: Callable[[], Mapping[str, Contender]]


# Parameters of a network that is vectorized on a CPU too, at most: larger ones take too long.
_SMALL = 10**6
# Of the data that the pipeline is measured on, at most.
_DATA_NUMBERS = 2**24


def cases() -> Iterator[Case]:
    """Every case, in the order of the table."""
    for name, net in NETS.items():
        yield Case(f"step/{name}", lambda net=net: _steps(net))  # type: ignore[misc]
        yield Case(f"split/{name}", lambda net=net: _split(net))  # type: ignore[misc]
        yield Case(f"gradients/{name}", lambda net=net: _gradients(net))  # type: ignore[misc]
        yield Case(f"evaluate/{name}", lambda net=net: _evaluation(net))  # type: ignore[misc]
        yield Case(f"profile/{name}", lambda net=net: _profile(net))  # type: ignore[misc]
        yield Case(f"compile/{name}", lambda net=net: _compiled(net))  # type: ignore[misc]
        yield Case(f"weights/{name}", lambda net=net: _weights(net))  # type: ignore[misc]
        yield Case(f"checkpoint/{name}", lambda net=net: _checkpoint(net))  # type: ignore[misc]
        yield Case(f"data/{name}", lambda net=net: _data(net))  # type: ignore[misc]
    for name in MIXED:
        yield Case(f"mixed/{name}", lambda name=name: _mixed(name))  # type: ignore[misc]
    yield Case("tasks/lenet", _tasks)
    yield Case("start/command line", _start)


_PAMAL: dict[str, Any] = {"name": "pamal", "preferences": {"name": "dirichlet", "per_batch": 1}}


def _steps(net: Net) -> dict[str, Contender]:
    """One preference, and several that each see the whole batch."""
    first = net.planned(palora(1))
    found = {
        "plain": Contender(plain_step(first)),
        "palora": Contender(our_step(first), net.palora),
        **({"palora, by hand": Contender(palora_by_hand(net.planned(palora(1))))} if net.by_hand else {}),
        "palora, r = 1": Contender(our_step(net.planned(palora(1, rank=1))), net.palora),
        **{
            f"palora, separable, r = {rank}": Contender(
                our_step(net.planned(palora(1, rank=rank, conv="separable"))), net.palora
            )
            for rank in ((1, 4) if net.convolves else ())
        },
        "pamal": Contender(our_step(net.planned(_PAMAL)), net.pamal),
        "cosmos": Contender(our_step(net.planned("cosmos")), 1.10),
        "single": Contender(our_step(net.planned("single"))),
    }
    if first.place.device.type == "cuda":
        # What recording saves, the plain step and ours.
        unrecorded = net.planned(palora(1), {"cuda_graph": False})
        found["plain, recorded"] = Contender(plain_step(first, recorded=True))
        found["palora, not recorded"] = Contender(our_step(unrecorded))
    for count in (2, 4):
        found[f"palora, {count} shared (a preference)"] = Contender(
            our_step(net.planned(palora(count))), 1.05, per=count
        )
    return found


def _profile(net: Net) -> dict[str, Contender]:
    """What methods add to a plain step, part by part, with what in it nothing can save."""
    ready = net.planned(palora(1))
    return {
        "plain step": Contender(plain_step(ready)),
        **_profile_of_palora(ready),
        **_profile_of_pamal(net.planned(_PAMAL)),
        **(_profile_of_cosmos(net.planned("cosmos")) if len(net.shape) == 3 else {}),
    }


def _profile_of_palora(ready: Plan) -> dict[str, Contender]:
    model, m = ready.model, len(ready.spec.problem.tasks)
    preference = torch.full((m,), 1 / m)
    theta = model.weights(preference)
    assert isinstance(model.space, LowRankSpace)
    shared, a, b = list(model.space.shared), list(model.space.a), list(model.space.b)
    named = dict(zip(theta, shared, strict=True))
    kernels = [torch.randn(len(left), right.shape[1], device=left.device) for left, right in zip(b, a, strict=True)]

    @torch.no_grad()
    def products() -> None:
        for left, right, kernel in zip(b, a, kernels, strict=True):
            torch.mm(left, right)
            torch.mm(right, kernel.t())
            torch.mm(left.t(), kernel)

    return {
        "palora: θ(λ), all merged, and its gradient back": Contender(_there_and_back(model)),
        "  the network's own weights in its place": Contender(
            _back({name: named[name] for name, value in theta.items() if value.requires_grad})
        ),
        "  the three matrix products of each weight alone": Contender(products),
        "palora: the matrix products of a step, as each layer chooses": Contender(_products_chosen(ready)),
        "palora: Adam, network and adapters": Contender(_adam(ready, model.space.parameter_groups(1e-4))),
        "  network alone": Contender(_adam(ready, [{"params": shared, "lr": 1e-4}])),
    }


def _products_chosen(ready: Plan) -> Step:
    """The products that adapters cost at least in a step: where a layer applies its adapter those with its patches or
    rows, else those that merge it."""
    rows, space = _rows_applied(ready), ready.model.space
    assert isinstance(space, LowRankSpace)
    named = dict(zip(ready.model.weights(torch.full((space.m,), 0.5)), space.shared, strict=True))
    pairs: list[tuple[Tensor, Tensor]] = []
    for each, a, b in zip((each.name for each in space.adapted), space.a, space.b, strict=True):
        out, q, columns = len(named[each]), len(a), a.shape[1]
        count = rows.get(id(named[each]))
        if count is None:
            weight = torch.randn(len(b), columns, device=a.device)
            pairs += [(b, a), (a, weight.t()), (b.t(), weight)]
            continue
        chunks = len(b) // out
        patches, hidden = torch.randn(count * chunks, columns), torch.randn(count, chunks * q)
        results, across, back = torch.randn(count, out), b.reshape(out, -1), torch.randn(count * chunks, q)
        pairs += [(patches, a.t()), (hidden, across.t()), (results.t(), hidden)]
        pairs += [(results, across), (back.t(), patches), (back, a)]

    @torch.no_grad()
    def run() -> None:
        for left, right in pairs:
            torch.mm(left, right)

    return run


def _rows_applied(ready: Plan) -> dict[int, int]:
    """How many rows or places the layers have that apply their adapter in a step, by the identity of W0."""
    rows: dict[int, int] = {}

    def convolved(x: Tensor, bias: Tensor | None, adapted: Adapted, how: Convolution) -> Tensor:
        height, width = how.places(x, adapted.base)
        rows[id(adapted.base)] = len(x) * height * width
        return conv2d(x, bias, adapted, how)

    def multiplied(x: Tensor, bias: Tensor | None, adapted: Adapted) -> Tensor:
        rows[id(adapted.base)] = x.shape[:-1].numel()
        return linear(x, bias, adapted)

    with mock.patch.multiple(lazy_weight, conv2d=convolved, linear=multiplied):
        our_step(ready)()
    return rows


def _profile_of_pamal(ready: Plan) -> dict[str, Contender]:
    space = ready.model.space
    size = sum(parameter.numel() for parameter in space.parameters()) // 2
    buffer, other = torch.zeros(2, size, device=ready.place.device)

    def copies() -> None:
        # Both members are read and their sum written, its gradient read and theirs written.
        for _ in range(3):
            buffer.copy_(other)

    return {
        "pamal: θ(λ) and its gradient back": Contender(_there_and_back(ready.model)),
        "  as many bytes copied": Contender(copies),
        "pamal: Adam, both members": Contender(_adam(ready, space.parameter_groups(1e-4))),
    }


def _profile_of_cosmos(ready: Plan) -> dict[str, Contender]:
    network = ready.model.skeleton
    assert isinstance(network, ConditionedNetwork)
    x = ready.place.arranged(batch_of(ready)[0])
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    weight = torch.randn(first.out_channels, x.shape[1] + 2, *first.kernel_size, device=x.device, requires_grad=True)
    alone = weight[:, : x.shape[1]].detach().clone().requires_grad_()
    shared = torch.randn(1, 2, *x.shape[2:], device=x.device, requires_grad=True)

    def layer(read: Tensor, kernel: Tensor) -> None:
        found = nn.functional.conv2d(read, kernel, None, first.stride, first.padding)
        found.backward(torch.ones_like(found))
        weight.grad = alone.grad = shared.grad = None

    return {
        "cosmos: first layer with λ's maps, and back": Contender(lambda: layer(shared_concat(x, shared), weight)),
        "  on the images alone": Contender(lambda: layer(x, alone)),
    }


def _there_and_back(model: ParetoModel) -> Step:
    """Making θ(λ), and sending a gradient back."""
    preference = torch.full((len(model.tasks),), 1 / len(model.tasks))
    given: dict[str, Tensor] = {}

    def run() -> None:
        theta = {name: value for name, value in model.weights(preference).items() if value.requires_grad}
        if not given:
            given.update({name: torch.randn_like(value) for name, value in theta.items()})
        torch.autograd.backward(list(theta.values()), [given[name] for name in theta])
        for parameter in model.parameters():
            parameter.grad = None

    return run


def _back(weights: Mapping[str, Tensor]) -> Step:
    """Sending a gradient back to weights that are not made."""
    given = {name: torch.randn_like(value) for name, value in weights.items()}

    def run() -> None:
        torch.autograd.backward([value.view_as(value) for value in weights.values()], list(given.values()))
        for parameter in weights.values():
            parameter.grad = None

    return run


def _adam(ready: Plan, groups: Any) -> Step:
    """The optimizer's step."""
    optimizer = ready.spec.training.optimizer.build(groups, ready.place.device)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    gradients = [torch.zeros_like(p) for p in parameters]

    def step() -> None:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        optimizer.zero_grad()

    return step


def _compiled(net: Net) -> dict[str, Contender]:
    """What torch.compile makes of a step: of the network alone, and of all that leads to the losses."""
    plain, eager = net.planned(palora(1)), net.planned(palora(1))
    whole = net.planned(palora(1), {"compile": True})
    network = net.planned(palora(1))
    network.model.network.compile()
    found = {
        "plain": Contender(plain_step(plain)),
        "plain, compiled": Contender(plain_step(plain, compiled=True)),
        "palora": Contender(our_step(eager)),
        "palora, network compiled": Contender(our_step(network)),
        "palora, compiled": Contender(our_step(whole)),
    }
    if plain.place.device.type == "cuda":
        unrecorded = net.planned(palora(1), {"compile": True, "cuda_graph": False})
        found["palora, compiled, not recorded"] = Contender(our_step(unrecorded))
    return found


def _split(net: Net) -> dict[str, Contender]:
    """Several preferences that share the batch, against one; and what dividing a batch costs a plain step."""
    first = net.planned(palora(1))
    found = {"palora": Contender(our_step(first))}
    for count in (2, 4, 8):
        if net.batch >= count:
            found[f"palora, {count} split"] = Contender(our_step(net.planned(palora(count, "split"))), 1.15)
            found[f"plain, batch in {count}"] = Contender(divided_step(first, count))
    return found


def _gradients(net: Net) -> dict[str, Contender]:
    """What needs the gradient of every task: one forward pass, m backward passes. At most 1 + 0.6·m plain steps."""
    balanced = net.planned(palora(1, balancing=["gradient"]))
    limit = 1 + 0.6 * len(balanced.spec.problem.tasks)
    found = {
        "plain": Contender(plain_step(balanced)),
        "palora, gradient balancing": Contender(our_step(balanced), limit),
    }
    for objective in ("nash_mtl", "mgda"):
        ready = net.planned({"name": "single", "objective": objective})
        found[f"single, {objective}"] = Contender(our_step(ready), limit)
    return found


def _evaluation(net: Net) -> dict[str, Contender]:
    """A front of n preferences against n plain passes over the data."""
    ready = net.planned(palora(1), samples=net.batch * net.evaluated)
    count = 11
    preferences = evaluation_set(len(ready.spec.problem.tasks), count)
    name = f"front of {count} (a preference)"
    found = {
        "plain pass": Contender(plain_evaluation(ready, net.batch)),
        name: Contender(our_evaluation(ready, preferences, net.batch), 1.10, per=count),
        f"{name}, losses alone": Contender(our_evaluation(ready, preferences, net.batch, metrics=False), per=count),
    }
    small = sum(parameter.numel() for parameter in ready.model.parameters()) < _SMALL
    if small or ready.place.device.type != "cpu":
        for vectorized, how in ((True, "in one pass"), (False, "in turn")):
            call = our_evaluation(ready, preferences, net.batch, vectorized)
            with contextlib.suppress(RuntimeError):  # not every network can be vectorized
                call()
                found[f"{name}, {how}"] = Contender(call, per=count)
    return found


def _mixed(name: str) -> dict[str, Contender]:
    """A preference for each sample of a batch."""
    return {contender: Contender(call, limit) for contender, call, limit in mixed(name)}


def _weights(net: Net) -> dict[str, Contender]:
    """Making θ(λ), against one plain forward pass; nothing is promised of it alone."""
    found: dict[str, Contender] = {}
    for solver in ("palora", "pamal", "lorpman", "cosmos"):
        ready = net.planned(solver)
        if not found:
            found["plain pass"] = Contender(plain_evaluation(ready, net.batch))
        preference = torch.full((len(ready.spec.problem.tasks),), 0.5)
        found[f"θ(λ) of {solver}"] = Contender(lambda model=ready.model, at=preference: model.weights(at))
    return found


def _checkpoint(net: Net) -> dict[str, Contender]:
    """Writing a checkpoint of model and Adam, against torch.save of the same tensors, brought to disk whole too."""
    ready = net.planned(palora(1))
    optimizer = torch.optim.Adam(ready.model.parameters())
    for parameter in ready.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    state = {"model": ready.model.state_dict(), "optimizer": optimizer.state_dict()}
    folder = Path(tempfile.mkdtemp())
    target = folder / "last.pt"

    def plain() -> None:
        with atomic_write(folder / "plain.pt") as partial:
            torch.save(state, partial)

    return {
        "torch.save": Contender(plain),
        "checkpoint": Contender(lambda: write_checkpoint(target, state)),
    }


def _tasks() -> dict[str, Contender]:
    """m = 40 against m = 2 with the same network and head: 40 numbers in one output."""
    net = NETS["lenet"]
    made = {}
    for m in (2, 8, 20, ATTRIBUTES):
        backbone = build(Backbone, net.backbone)  # type: ignore[type-abstract]
        problem = Attributes(backbone_=backbone, shape=net.shape, samples=net.batch, m=m)
        ready = planned(problem, palora(1, rank=1), {"batch_size": net.batch})
        made[f"palora r = 1, m = {m}"] = Contender(our_step(ready), 1.5 if m > 2 else None)
    return made


def _data(net: Net) -> dict[str, Contender]:
    """An epoch of batches in random order, against copying the same tensors once."""
    count = max(2 * net.batch, min(20_000, _DATA_NUMBERS // math.prod(net.shape)))
    device = net.planned("single").place.device
    data = TensorData(torch.rand(count, *net.shape), {"left": torch.zeros(count, dtype=torch.long)}).to(device)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    chosen = order.to(device)

    def copy() -> Tensor:
        return data.inputs[chosen]

    def epoch() -> None:
        for _ in batches(data, net.batch, order=order, device=device):
            pass

    return {"one selection": Contender(copy), "epoch of batches": Contender(epoch)}


def _start() -> dict[str, Contender]:
    """`moframework --help` against an empty Python."""
    program = shutil.which("moframework", path=str(Path(sys.executable).parent)) or "moframework"

    def call(*command: str) -> Step:
        return lambda: subprocess.run(command, check=True, capture_output=True)

    return {
        "python -c pass": Contender(call(sys.executable, "-c", "pass")),
        "moframework --help": Contender(call(program, "--help")),
    }
