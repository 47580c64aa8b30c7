"""Which part of a spec an error came from: the part whose code was running when it was raised."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from moframework.augmentations import Augmentation
from moframework.run.plan import Plan

__all__ = ["key_path"]


def key_path(error: BaseException, ready: Plan) -> str | None:
    """The key of the spec whose part raised `error`, or called what did: the innermost one.

    Args:
        error: as it was caught.
        ready: whose parts are looked for.

    Returns:
        a key path, for a layer of the network with the layer's class; None where no part is found.
    """
    parts = dict(_parts(ready))
    layers = {type(module) for module in ready.model.skeleton.modules()}
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in reversed(frames):
        own = frame.f_locals.get("self")
        if own is None:
            continue
        if id(own) in parts:
            return parts[id(own)]
        if isinstance(own, Augmentation):  # which may be another one at each moment
            return "problem.augmentation"
        if isinstance(own, LRScheduler):
            return "training.scheduler"
        if isinstance(own, nn.Module) and type(own) in layers:
            return f"problem.backbone, layer {type(own).__name__}"
    return None


def _parts(ready: Plan) -> Iterator[tuple[int, str]]:
    spec, method = ready.spec, ready.method
    yield id(spec.solver), "solver"
    yield id(method.weights), "solver"
    yield id(ready.model.space), "solver"
    yield id(method.preferences), "solver.preferences"
    yield id(method.objective), "solver.objective"
    for i, balancing in enumerate(method.balancing):
        yield id(balancing), f"solver.balancing.{i}"
    yield id(spec.training.optimizer), "training.optimizer"
    yield from ((id(each), "training.scheduler") for each in spec.training.schedulers)
    for task in spec.problem.tasks:
        yield id(task.loss), f"problem, the loss of task '{task.name}'"
        for metric in task.metrics:
            yield id(metric), f"problem, a metric of task '{task.name}'"
    for split, data in ready.data.items():
        yield id(data), f"problem, the data of split '{split}'"
