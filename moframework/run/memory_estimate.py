"""How much memory a training will take, from a forward pass of a few samples.

Saved activations are measured, not derived: the plain form of the step runs once on a few samples and once on half of
them, and what autograd keeps tells a share that grows with the batch and one that does not. The rest is counted: what
the process holds by now (the program, data in memory, weights), gradients, optimizer state, averages.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import torch
from attrs import frozen
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from moframework.data import Dataset, TensorData, batches, collate_of
from moframework.engine.device import Placement
from moframework.engine.job import Job
from moframework.engine.settings import Training
from moframework.engine.step import Step
from moframework.inputs.trees import tensor_leaves
from moframework.objectives import FeatureAggregation, Scalarization
from moframework.run.memory import free_memory, held_memory

__all__ = ["MemoryEstimate", "Saved", "estimate_memory", "saved_activations"]

_SAMPLES = 4
_LOOKED_AT = 32
_TIGHT = 0.9
"""Share of the free memory from which an estimate is too close to it."""
_KEPT_THETAS = 512 * 2**20  # as evaluation keeps the weights of all preferences

_ADVICE = {
    "activations": "lower training.batch_size or solver.preferences.per_batch, or take a smaller network",
    "θ(λ)": "lower solver.preferences.per_batch, or take a smaller network",
    "gradients of tasks": "choose an objective that needs no gradient of each task, or a smaller network",
    "gradients": "take a smaller network, or freeze a part of it",
    "optimizer": "choose an optimizer with less state (sgd keeps none without momentum), or a smaller network",
    "averages": "leave out training.averaging, or take an optimizer that keeps no average",
    "weights": "take a smaller network, or a solver with fewer weights a task",
    "data": "set training.resident: false",
    "evaluation": "lower evaluate.batch_size or evaluate.points",
    "program and data": "use data that is read piece by piece, or free memory that other programs hold",
}


@frozen(kw_only=True)
class MemoryEstimate:
    """What a training takes at its peak, in bytes.

    Attributes:
        parts: by what takes it, on the training's device. On the host `program and data` is what the process holds
            by now, weights included.
        free: what can be had there, with what the process holds by now; None where the system does not tell.
    """

    parts: Mapping[str, int]
    free: int | None

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        """Whether it takes clearly less than is free, as far as that is known."""
        return self.free is None or self.total <= _TIGHT * self.free

    def describe(self) -> list[str]:
        """A line for people, and where it does not fit another one that says what to lower."""
        largest = sorted(self.parts.items(), key=lambda part: -part[1])
        shown = ", ".join(f"{name} {as_size(size)}" for name, size in largest[:4] if size)
        available = "" if self.free is None else f" of {as_size(self.free)} free"
        lines = [f"about {as_size(self.total)}{available} ({shown})"]
        if not self.fits:
            assert self.free is not None, "what is not known is taken to fit"
            judged = "will hardly fit" if self.total > self.free else "may not fit, for estimates are off by some"
            hints = [f"{name}: {_ADVICE[name]}" for name, size in largest[:2] if size]
            lines.append(f"this {judged}. {'; '.join(hints)}")
        return lines


@frozen
class Saved:
    """What autograd keeps of one preference's forward pass, in bytes.

    Attributes:
        fixed: whatever the batch, such as θ(λ) and what it is made of, parameters left out.
        per_sample: for each sample of the batch.
        largest: the largest tensor's share of `per_sample`.
    """

    fixed: int
    per_sample: float
    largest: float


def estimate_memory(job: Job) -> MemoryEstimate:
    """What a training that starts with this job would take, its model being on the host yet.

    The model comes back as it was, and so do torch's random generators. What is left out: workspaces of libraries,
    processes that load data, and what accelerations save or take.

    Raises:
        Exception: whatever the network, a loss or the data raise.
    """
    model, method, training, place = job.model, job.method, job.training, job.place
    already, free = _already(job, place), _free(place.device)  # before the passes below leave memory with the process
    step = Step(model, job.problem.tasks, method, attrs.evolve(place, device=torch.device("cpu")))
    m, count = len(job.problem.tasks), method.preferences.count(len(job.problem.tasks))
    preferences = method.preferences.draw(1.0, count, m, torch.Generator().manual_seed(0))
    with _unchanged(model):
        saved = saved_activations(step, job.data, preferences[:1])
        with torch.no_grad():
            theta = _own_bytes(model.weights(preferences[0]), model)
            whole = _bytes(model.weights(preferences[0]).values())
    trained = [p for p in model.space.parameters() if p.requires_grad]
    gradients = _bytes(trained)
    steps = _of_a_step(step, saved, training, count)
    steps["θ(λ)"] = theta  # the gradient of it; what is saved of it counts among the activations
    if step.per_task:
        copies = m if isinstance(method.objective, Scalarization) else 2 * m  # the others put them together
        if isinstance(method.objective, FeatureAggregation):  # of the shared part there is one
            copies = 1
        steps["gradients of tasks"] = copies * whole * (count if step.joined else 1)
    fronts = min(len(job.preferences) * theta, _KEPT_THETAS) + int(2 * saved.largest * job.evaluation.batch_size)
    steps["evaluation"] = max(fronts - sum(steps.values()), 0)
    optimizer = int(gradients * _state_of(training.optimizer.build))
    parts = {"gradients": gradients, "optimizer": optimizer, **steps}
    if training.averaging is not None or training.optimizer_averages:  # the latter: what they stand in for, kept aside
        parts["averages"] = gradients
    return MemoryEstimate(parts={**already, **parts}, free=free)


def saved_activations(step: Step, data: Dataset, preferences: Tensor) -> Saved:
    """What the plain forward pass of a step keeps for going backward.

    Args:
        step: on the host, not accelerated.
        data: at least one sample.
        preferences: (1, m).
    """
    count = min(_SAMPLES, len(data))  # type: ignore[arg-type]
    sizes = {n: _saved(step, data, preferences, n) for n in {count, max(count // 2, 1)}}
    few, many = sizes[min(sizes)], sizes[max(sizes)]
    more = max(sizes) - min(sizes)
    if more == 0:
        return Saved(0, sum(many) / count, max(many, default=0) / count)
    per_sample = max(sum(many) - sum(few), 0) / more
    fixed = max(sum(few) - round(per_sample * min(sizes)), 0)
    if len(few) == len(many):  # one by one, as they were saved
        largest = max((b - a for a, b in zip(few, many, strict=True)), default=0) / more
    else:
        largest = max(many, default=0) / max(sizes)
    return Saved(fixed, per_sample, largest)


def _saved(step: Step, data: Dataset, preferences: Tensor, count: int) -> list[int]:
    """Bytes of each storage that the forward pass of `count` samples keeps, parameters and buffers left out."""
    x, targets = next(batches(data, count, order=_samples(data, count), device="cpu"))
    x = step.place.arranged(x)
    known = {t.untyped_storage().data_ptr() for t in (*step.model.parameters(), *step.model.buffers())}
    found: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            found.setdefault(storage.data_ptr(), storage.nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        losses = step.losses_of(preferences, [(x, targets)])
    del losses  # it held them until now, so that no address came up twice
    return list(found.values())


def _samples(data: Dataset, count: int) -> Tensor:
    """Which samples to send through: the first ones; where a collate function makes batches, the largest of some that
    are spread over the data, as often as needed, so that what a batch is padded to does not depend on their number."""
    if collate_of(data) is None:
        return torch.arange(count)
    size = len(data)  # type: ignore[arg-type]
    rows = sorted({i * size // _LOOKED_AT for i in range(_LOOKED_AT)})
    alone = [next(batches(data, 1, order=torch.tensor([row]), device="cpu"))[0] for row in rows]
    sizes = [sum(leaf.numel() for leaf in tensor_leaves(x)) for x in alone]
    return torch.full((count,), rows[sizes.index(max(sizes))])


def _of_a_step(step: Step, saved: Saved, training: Training, count: int) -> dict[str, int]:
    """Activations at the moment when most of them are there, with those that going backward makes."""
    graphs, samples = count if step.joined and not training.recompute else 1, float(training.batch_size)
    if training.accumulate > 1:  # of one preference, a part; θ(λ) of all
        seen = max(samples / (count if step.method.preferences.batch == "split" else 1) / training.accumulate, 1.0)
        return {"activations": int((saved.per_sample + 2 * saved.largest) * seen + saved.fixed * graphs)}
    if step.method.preferences.batch == "split":
        # Together a divided batch keeps as much as a whole one.
        seen = samples / count if step.per_task and not step.joined else samples
        activations = saved.per_sample * seen + saved.fixed * graphs
    else:
        seen = samples
        activations = (saved.per_sample * samples + saved.fixed) * graphs
    return {"activations": int(activations + 2 * saved.largest * seen)}


def _state_of(build: Callable[..., torch.optim.Optimizer]) -> float:
    """How many numbers an optimizer keeps for each one that it trains: measured on a small matrix."""
    probe = nn.Parameter(torch.zeros(64, 64))
    probe.grad = torch.zeros_like(probe)
    optimizer = build([{"params": [probe]}], torch.device("cpu"))
    optimizer.step()
    kept = tree_leaves(dict(optimizer.state[probe]))  # SOAP's matrices lie in lists
    return sum(value.numel() for value in kept if isinstance(value, Tensor) and value.dim()) / probe.numel()


def _already(job: Job, place: Placement) -> dict[str, int]:
    """What is there before the first step: on the host what the process holds, else weights and data on the device."""
    if place.device.type == "cpu":
        held = held_memory()
        return {"weights": _bytes((*job.model.parameters(), *job.model.buffers()))} if held is None else {
            "program and data": held
        }  # fmt: skip
    weights = _bytes((*job.model.parameters(), *job.model.buffers()))
    if job.training.resident is False:
        return {"weights": weights}
    sizes = [data.nbytes for data in (job.data, job.validation) if isinstance(data, TensorData)]
    return {"weights": weights, "data": sum(sizes)}


def _free(device: torch.device) -> int | None:
    free = free_memory(device)
    return free if free is None or device.type != "cpu" else free + (held_memory() or 0)


def _own_bytes(theta: Mapping[str, Tensor], model: nn.Module) -> int:
    """Bytes of the weights that are made for a preference, rather than being parameters themselves."""
    known = {p.untyped_storage().data_ptr() for p in (*model.parameters(), *model.buffers())}
    return _bytes([value for value in theta.values() if value.untyped_storage().data_ptr() not in known])


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@contextlib.contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    """Inside, the model is trained; afterwards its buffers, its mode and torch's generator are as they were."""
    before, training = [buffer.clone() for buffer in model.buffers()], model.training
    with torch.random.fork_rng(devices=[]):
        try:
            model.train()
            yield
        finally:
            model.train(training)
            with torch.no_grad():
                for buffer, value in zip(model.buffers(), before, strict=True):
                    buffer.copy_(value)


def as_size(size: int) -> str:
    """Bytes for people.

    >>> as_size(1_234_000_000), as_size(20_000_000)
    ('1.2 GB', '20 MB')
    """
    if size >= 10**9:
        return f"{size / 1e9:,.1f} GB" if size < 1e10 else f"{size / 1e9:,.0f} GB"
    return f"{size / 1e6:,.0f} MB" if size >= 10**6 else f"{size / 1e3:,.0f} kB"
