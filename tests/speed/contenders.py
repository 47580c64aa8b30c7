"""What takes a step, or evaluates: the plain way, and ours."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from moframework.data.device_cache import resident
from moframework.engine.evaluate import Evaluator
from moframework.engine.loop import Loop
from moframework.processes.world import World
from moframework.run.plan import Plan
from tests.speed.nets import batch_of
from tests.speed.synthetic import plain_loss

__all__ = [
    "divided_step",
    "our_evaluation",
    "our_step",
    "palora_by_hand",
    "plain_evaluation",
    "plain_step",
]

Step = Callable[[], object]


def our_step(ready: Plan, world: World | None = None) -> Step:
    """One step of the engine: draw preferences, weights, forward, backward, optimizer; replayed where it can be. Where
    a world is given, this process's part of it."""
    loop = Loop(ready.job(Path(tempfile.gettempdir()), ()), world=world)  # a step writes nothing
    ready.model.train()
    x, targets = batch_of(ready)
    own, _ = loop.partition.local_samples(torch.arange(len(x)), len(x), 1)
    if len(own) < len(x):
        x, targets = x[own], {key: value[own] for key, value in targets.items()}
    return lambda: loop.train_step(ready.place.arranged(x), targets)


def plain_step(ready: Plan, passes: int = 1, *, recorded: bool = False, compiled: bool = False) -> Step:
    """One step as anyone would write it: same network, batch, memory order and optimizer; mean of the losses. With
    several passes over the batch their gradients add up, as those of batches do that are too large for one pass.
    Recorded: forward and backward pass are a CUDA graph, as in ours; compiled: by torch.compile."""
    network = ready.spec.problem.backbone().train()
    ready.place.move(network)
    kind = ready.place.device.type
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=kind in ("cpu", "cuda"))
    x, targets = batch_of(ready)
    x = ready.place.arranged(x)
    tasks = ready.spec.problem.tasks

    def mean() -> Tensor:
        with ready.place.autocast():
            outputs = network(x)
        losses = [plain_loss(task, outputs[task.output_key], targets[task.target_key]) for task in tasks]
        return torch.stack(losses).sum() / len(losses)

    objective = torch.compile(mean) if compiled else mean

    def backward() -> None:
        for _ in range(passes):
            objective().backward()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        backward()
        optimizer.step()

    if not recorded:
        return step
    for _ in range(3):
        step()
    optimizer.zero_grad(set_to_none=True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        backward()

    def replay(kept: object = backward) -> None:  # the graph reads the memory of what `backward` holds
        graph.replay()
        optimizer.step()

    return replay


def palora_by_hand(ready: Plan) -> Step:
    """One step of PaLoRA (r = 4, as published) as one would write it for this network alone: every adapted weight of a
    linear or convolution layer is made in a line, nothing is checked, nothing can be chosen. What a framework can be
    held against."""
    network = ready.spec.problem.backbone().train()
    ready.place.move(network)
    rank, tasks = 4, ready.spec.problem.tasks
    m = len(tasks)
    shared, adapters, layers = list(network.parameters()), [], []
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            base = layer.weight
            side = base.shape[-1] if isinstance(layer, nn.Conv2d) else 1
            inner = rank * side
            a = nn.Parameter(torch.randn(m * inner, base[0].numel() // side))
            b = nn.Parameter(torch.zeros(len(base) * side, m * inner))
            del layer._parameters["weight"]
            layer._parameters["weight"] = None
            layers.append((layer, base, b, a, inner))
            adapters += [b, a]
    groups = [{"params": shared}, {"params": adapters, "lr": m * 1e-4}]
    optimizer = torch.optim.Adam(groups, lr=1e-4, fused=True)
    x, targets = batch_of(ready)
    x = ready.place.arranged(x)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        preference = torch.rand(m)
        preference = preference / preference.sum()
        factors = {inner: preference.repeat_interleave(inner) for *_, inner in layers}
        for layer, base, b, a, inner in layers:
            if base.dim() == 2:
                layer._parameters["weight"] = torch.addmm(base, b * factors[inner], a)  # type: ignore[assignment]
            else:
                layer._parameters["weight"] = base + ((b * factors[inner]) @ a).view(base.shape)  # type: ignore[assignment]
        outputs = network(x)
        losses = [plain_loss(task, outputs[task.output_key], targets[task.target_key]) for task in tasks]
        (torch.stack(losses) * preference).sum().backward()
        optimizer.step()

    return step


def divided_step(ready: Plan, count: int) -> Step:
    """A plain step whose batch goes through the network in `count` pieces: what dividing alone costs. The pieces see
    the same weights, and one backward pass goes through all of them."""
    network = ready.spec.problem.backbone().train()
    ready.place.move(network)
    kind = ready.place.device.type
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=kind in ("cpu", "cuda"))
    x, targets = batch_of(ready)
    pieces = [ready.place.arranged(piece) for piece in x.tensor_split(count)]
    wanted = {key: value.tensor_split(count) for key, value in targets.items()}
    tasks = ready.spec.problem.tasks

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        losses = []
        for j, piece in enumerate(pieces):
            outputs = network(piece)
            losses += [plain_loss(task, outputs[task.output_key], wanted[task.target_key][j]) for task in tasks]
        (torch.stack(losses).sum() / len(losses)).backward()
        optimizer.step()

    return step


def our_evaluation(
    ready: Plan, preferences: Tensor, batch_size: int, vectorized: bool | None = None, metrics: bool = True
) -> Step:
    """A front over the training split, which lies on the device; on an accelerator in one pass or in turn, or
    whichever is faster."""
    data = resident(ready.data["train"], True, ready.place.device)

    evaluator = Evaluator(
        problem=ready.spec.problem, place=ready.place, batch_size=batch_size, accelerated=vectorized, metrics=metrics
    )

    def run() -> None:
        evaluator.front(ready.model, data, preferences, "train")

    return run


def plain_evaluation(ready: Plan, batch_size: int) -> Step:
    """One network over the training split, with its losses: what each preference costs at least."""
    network: nn.Module = ready.spec.problem.backbone().eval()
    ready.place.move(network)
    whole = resident(ready.data["train"], True, ready.place.device)
    tasks = ready.spec.problem.tasks
    size = len(whole)  # type: ignore[arg-type]

    @torch.no_grad()
    def run() -> None:
        totals = torch.zeros(len(tasks), dtype=torch.float64, device=ready.place.device)
        for start in range(0, size, batch_size):
            x = ready.place.arranged(whole.inputs[start : start + batch_size])  # type: ignore[attr-defined]
            outputs = network(x)
            for t, task in enumerate(tasks):
                target = whole.targets[task.target_key][start : start + batch_size]  # type: ignore[attr-defined]
                totals[t] += plain_loss(task, outputs[task.output_key], target).double() * len(x)

    return run
