"""What training will do, done on a few samples before it: so that nothing that would end a run later is told later.

One step on the smallest batch that an epoch has, optimizer and scheduler made, a checkpoint written and read, an
evaluation; then the model is saved, loaded, and taken at an operating point, and each answers as the one before it. All
of it happens to a copy of the model, in a temporary folder.
"""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
import tempfile
from collections.abc import Sized
from pathlib import Path
from typing import Any, cast

import attrs
import torch
import torch.utils.data
from torch import Tensor, nn

from moframework.backbones.base import named_outputs
from moframework.blame import blamed
from moframework.data import Dataset, Split, TensorData, batches, epoch_size
from moframework.engine.checkpoint import restore
from moframework.engine.evaluate import Evaluator
from moframework.engine.fit import fit
from moframework.engine.job import Job
from moframework.engine.loop import Hook, Loop
from moframework.engine.method import Method
from moframework.engine.milestones import Checkpoints
from moframework.errors import InterruptedRun, MoframeworkError, SpecError
from moframework.inputs import Tree, called
from moframework.model import ParetoModel
from moframework.optim import Schedulers
from moframework.processes.world import World
from moframework.run.memory import has_room
from moframework.run.memory_estimate import as_size
from moframework.run.part_at_fault import key_path
from moframework.run.plan import Plan
from moframework.run.searching import rehearse_search

__all__ = ["rehearse"]

_TOLERANCE = 1e-3
"""Largest difference of two answers, in shares of the largest number among them: merged weights are added up in another
order, and networks of many layers with fresh weights enlarge what that changes."""

_PREFERENCES = 2
"""So many are enough where each is treated by itself: what several of them change is seen."""
_IN_MEMORY = "/dev/shm"

_FILES = 2**30
"""Bytes of parameters from which nothing is written: a checkpoint of three times as much takes long."""
_COPIES = 6
"""Times the parameters that a step takes beside them: a copy, gradients, θ(λ) and its gradients, Adam's moments."""


def rehearse(ready: Plan) -> list[str]:
    """Go all the way on a few samples: step, optimizer, scheduler, checkpoint, evaluation, saving, loading, `at(λ)`.

    Args:
        ready: stays as it is, and so do the random numbers of the process.

    Returns:
        what was left out for its size, in words; a line each.

    Raises:
        SpecError: something fails, or answers otherwise afterwards; the text says where, with what message, and what to
            change.
        DataError, NonFiniteLossError: as training would.
    """
    size = _bytes(ready.model)
    if not has_room(_COPIES * size, ready.place.device):
        return [f"nothing was tried out: a step takes {as_size(_COPIES * size)}, more than may be free"]
    smallest, writes = _smallest_part(ready), size <= _FILES
    with (
        tempfile.TemporaryDirectory(prefix="moframework-check-", dir=_fast_folder(ready.model)) as folder,
        torch.random.fork_rng(devices=[ready.place.device] if ready.place.device.type == "cuda" else []),
    ):
        try:
            model = _train(ready, Path(folder), smallest, writes) if ready.method.trains else _copied(ready)
        except SpecError as error:
            if smallest > 1 or not _goes_with_more(ready, Path(folder) / "more", writes):
                raise
            raise SpecError(f"{error}\n{_about_size(ready)}") from error
        _schedule(ready)
        if ready.method.search is None:
            _evaluate(ready, model)
        else:
            _search(ready)
        _keep(ready, model.cpu(), Path(folder) / "model" if writes else None)
    return [] if writes else [f"checkpoint, saving and loading were not tried out: {as_size(size)} of weights"]


def _train(ready: Plan, folder: Path, part: int, writes: bool) -> ParetoModel:
    """A step with `part` samples a preference, or in all, and back from its checkpoint; the trained model."""
    job = _job(ready, folder, part)
    with _told(ready, "the first training step", "problem"), contextlib.suppress(InterruptedRun):
        fit(job, stop=lambda: True, around=lambda loop, hooks: hooks if writes else _without_checkpoints(hooks))
    if writes:
        with _told(ready, "resuming from a checkpoint", "problem"):
            restore(Loop(job))
    return job.model


def _without_checkpoints(hooks: list[Hook]) -> list[Hook]:
    return [hook for hook in hooks if not isinstance(hook, Checkpoints)]


def _job(ready: Plan, folder: Path, part: int) -> Job:
    """The training of a spec, on as many samples as one step needs."""
    real = ready.job(folder, ready.reference or (1.0,) * len(ready.spec.problem.tasks))
    model = _copied(ready)
    method, m = _with_fewer_preferences(ready), len(ready.spec.problem.tasks)
    count = method.preferences.count(m) if method.preferences.batch == "split" else 1
    data = _subset(real.data, part * count)
    training = attrs.evolve(
        cast(Any, real.training),
        **{"epochs": None, "steps": ready.steps, "batch_size": len(cast(Sized, data)), "drop_last": False},
        **{"workers": 0, "resident": False, "compile": False, "checkpoint_every": None, "accumulate": 1},
    )
    evaluation = attrs.evolve(cast(Any, real.evaluation), every=0)
    return attrs.evolve(real, model=model, method=method, training=training, evaluation=evaluation, data=data)


def _copied(ready: Plan) -> ParetoModel:
    """A copy of the model, on the device."""
    with _told(ready, "copying the model, as operating points are"):
        model = copy.deepcopy(ready.model)
    ready.place.move(model)
    return model


def _with_fewer_preferences(ready: Plan) -> Method:
    """The method with fewer preferences a step, where each is treated by itself and its schedule can do with fewer."""
    method, m = ready.method, len(ready.spec.problem.tasks)
    if not method.objective.separable or method.preferences.count(m) <= _PREFERENCES:
        return method
    fewer = attrs.evolve(cast(Any, method.preferences), per_batch=_PREFERENCES)
    changed = attrs.evolve(method, preferences=fewer)
    try:
        changed.check(m)
    except SpecError:
        return method
    return changed


def _fast_folder(model: ParetoModel) -> str | None:
    """A file system in memory, where it has room for the model and its checkpoint many times over; else None."""
    with contextlib.suppress(OSError):
        if os.access(_IN_MEMORY, os.W_OK) and shutil.disk_usage(_IN_MEMORY).free > 50 * _bytes(model):
            return _IN_MEMORY
    return None


def _bytes(model: ParetoModel) -> int:
    return sum(value.numel() * value.element_size() for value in model.parameters())


def _smallest_part(ready: Plan) -> int:
    """Samples that a preference of a step sees at least, where the batch is divided, else those of the smallest batch;
    2 for 2 and more."""
    training, schedule = ready.spec.training, ready.method.preferences
    batch = training.batch_size
    size = epoch_size(ready.data["train"], batch)
    rest = size % batch
    smallest = rest if rest and (size < batch or not training.drop_last) else batch
    parts = schedule.count(len(ready.spec.problem.tasks)) if schedule.batch == "split" else 1
    return min(2, max(smallest // parts, 1))


def _goes_with_more(ready: Plan, folder: Path, writes: bool) -> bool:
    """Whether a step goes where there are two samples in place of one."""
    try:
        _train(ready, folder, 2, writes)
    except MoframeworkError:
        return False
    return True


def _about_size(ready: Plan) -> str:
    training, schedule = ready.spec.training, ready.method.preferences
    count = schedule.count(len(ready.spec.problem.tasks))
    size = epoch_size(ready.data["train"], training.batch_size)
    rest = size % training.batch_size
    what = f"{size:,} training samples in batches of {training.batch_size} leave "
    if rest and not training.drop_last and size > training.batch_size:
        what += f"{rest} for the last one"
    else:
        what = f"a batch has {min(size, training.batch_size)} samples"
    divided = f", divided among {count} preferences" if schedule.batch == "split" and count > 1 else ""
    ways = ["raise training.batch_size"]
    if divided:
        ways.append("lower solver.preferences.per_batch")
    if rest and not training.drop_last:
        ways.append("set training.drop_last: true")
    return (
        f"With two samples in place of one it goes: {what}{divided}, so that the network sees a single sample at a "
        f"time, of which BatchNorm, for one, has no variance: {' or '.join(ways)}."
    )


def _schedule(ready: Plan) -> None:
    """The last change of the learning rate by each scheduler, of a parameter that stands for all."""
    training = ready.spec.training
    if training.scheduler is None or not ready.method.trains:
        return
    parameter = nn.Parameter(torch.zeros(1))
    parameter.grad = torch.zeros(1)
    group = {"name": "all", "params": [parameter], "lr": training.optimizer.lr}
    optimizer = training.optimizer.build([group], torch.device("cpu"))
    with _told(ready, "the last change of the learning rate", "training.scheduler"):
        schedulers = Schedulers(training.schedulers, optimizer, ready.steps, ready.per_epoch)
        optimizer.step()
        for part, (schedule, length) in enumerate(schedulers.parts):
            schedulers.begin(part)
            if not schedule.watches_validation:
                for done in (length - 1, length):  # two, for a factor below 0 makes every other rate negative
                    schedulers.current.last_epoch = done - 1
                    schedulers.current.step()
                    if any(group["lr"] < 0 for group in optimizer.param_groups):
                        raise ValueError(f"the learning rate becomes {optimizer.param_groups[0]['lr']:g}")


def _evaluate(ready: Plan, model: ParetoModel) -> None:
    """Losses and metrics of a few samples, at an end of the front."""
    spec = ready.spec
    evaluator = Evaluator.of_spec(spec.problem, ready.place, spec.training, spec.evaluate, World())
    splits: tuple[Split, ...] = ("val", "test")
    for split in splits:
        with _told(ready, f"evaluating samples of split '{split}'", "problem"):
            evaluator.front(model, _subset(ready.data[split], 2), ready.preferences[:1], split)


def _search(ready: Plan) -> None:
    """A point proposed, of made-up values: the function itself is not evaluated."""
    with _told(ready, "proposing a point", "solver"):
        rehearse_search(ready)


def _keep(ready: Plan, model: ParetoModel, folder: Path | None) -> None:
    """Save and load, where there is a folder to do so, take an operating point, and compare what they answer."""
    x, _ = next(batches(_subset(ready.data["train"], 2), 2, order=None, device="cpu"))
    preference = ready.preferences[len(ready.preferences) // 2]
    with _told(ready, "answering without training"):
        expected = _answer(model, x, preference)
    if folder is not None:
        with _told(ready, "saving the model"):
            model.save(folder)
        with _told(ready, "loading the saved model"):
            loaded = ParetoModel.load(folder, trust=True)
            _compare(_answer(loaded, x, preference), expected, "the saved and loaded model")
        del loaded
    with _told(ready, "taking an operating point, at(λ)"), torch.no_grad():
        network = model.at(preference).eval()
        torch.manual_seed(0)
        _compare(
            named_outputs(called(network, x, model.network.how), model.network.outputs),
            expected,
            "the network of at(λ)",
        )


def _answer(model: ParetoModel, x: Tree, preference: Tensor) -> dict[str, Tensor]:
    torch.manual_seed(0)  # a network may draw random numbers when it is used
    with torch.no_grad():
        found: dict[str, Tensor] = nn.Module.__call__(model.eval(), x, preference)
    return found


def _compare(found: dict[str, Tensor], expected: dict[str, Tensor], what: str) -> None:
    for key, value in expected.items():
        if found[key].shape != value.shape:
            raise SpecError(f"{what} answers with {tuple(found[key].shape)} as '{key}', not {tuple(value.shape)}")
        scale = max(1.0, float(value.abs().max())) if value.numel() else 1.0
        worst = float((found[key] - value).abs().max()) if value.numel() else 0.0
        if not worst <= _TOLERANCE * scale and bool(torch.isfinite(value).all()):
            raise SpecError(
                f"{what} answers otherwise than the model itself: '{key}' differs by up to {worst:.3g}. The network "
                "has something besides its state dict (a tensor that is no buffer, a buffer that is not persistent, a "
                "counter), and it is another when the network is made again"
            )


def _subset(data: Dataset, count: int) -> Dataset:
    size = len(cast(Sized, data))
    rows = torch.arange(min(count, size))
    rows[-1] = size - 1
    return data.take(rows) if isinstance(data, TensorData) else torch.utils.data.Subset(data, rows.tolist())


def _told(ready: Plan, what: str, otherwise: str = "problem.backbone") -> contextlib.AbstractContextManager[None]:
    """See `blamed`; what goes wrong is of the part that can be seen in the error, else of `otherwise`."""
    return blamed(what, lambda error: key_path(error, ready) or otherwise)
