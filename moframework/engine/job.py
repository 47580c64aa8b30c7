"""`Job`: all that a training is made of; how many steps an epoch has, and how processes share them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from attrs import frozen
from torch import Tensor

from moframework.data import Dataset
from moframework.engine.device import Placement
from moframework.engine.distributed.optimizer_sharding import check_sharding
from moframework.engine.distributed.partition import make_partition
from moframework.engine.method import Method
from moframework.engine.settings import Evaluation, Training
from moframework.engine.step import Partition
from moframework.errors import DataError, NonFiniteLossError
from moframework.model import ParetoModel
from moframework.optim.groups import Groups, check_matrices, group_number, split_groups
from moframework.preferences import Schedule
from moframework.problem import Problem
from moframework.processes.world import World
from moframework.weights import WeightSpace

__all__ = ["Job", "OnNonFinite", "optimizer_groups", "plan_partition", "steps_per_epoch"]


class OnNonFinite(Protocol):
    """What is done where numbers of a training, a `Loop` over this job, are not finite: see `moframework.nonfinite`."""

    def hooks(self, loop: Any, hooks: list[Any]) -> list[Any]:
        """The hooks of the training, from those it has by itself."""

    def losses(self, loop: Any, entries: Sequence[tuple[int, Tensor, Tensor]], losses: Tensor) -> Tensor:
        """Of steps and their losses (k, M, m) on the host, some not finite, the losses to tell; or it raises."""

    def weights(self, loop: Any) -> NonFiniteLossError:
        """What to raise where a weight is not finite, though no loss was."""


@frozen(kw_only=True, eq=False)
class Job:
    """What is trained, on what, and how.

    Attributes:
        model: trained in place.
        data, validation: the splits to train on and to validate with.
        preferences: the evaluation set (n, m) for validation.
        reference: reference point of the validation hypervolume, m numbers.
        folder: checkpoints go here: `last.pt` (everything needed to resume) and `best.pt` (the model with the best
            validation).
        held_out: training samples set aside for an objective that asks for a share of them; None where it does not.
    """

    model: ParetoModel
    problem: Problem
    method: Method
    training: Training
    evaluation: Evaluation
    data: Dataset
    validation: Dataset
    preferences: Tensor
    reference: Sequence[float]
    seed: int
    place: Placement
    folder: Path
    on_nonfinite: OnNonFinite
    held_out: Dataset | None = None


def optimizer_groups(space: WeightSpace, training: Training, m: int) -> Groups:
    """The parameters of a weight space for m tasks in groups, as `training.parameter_groups` divides them. Those that
    differ are tensors of their own afterwards. Raises as `split_groups` and `check_matrices`."""
    if training.parameter_groups:
        space.separate(lambda name: group_number(name, training.parameter_groups))
    groups = space.parameter_groups(training.optimizer.lr)
    named = space.named_storage()
    made = split_groups(groups, named, training.parameter_groups, training.optimizer)
    check_matrices(made, named, training.optimizer, lambda: _shapes(space, m))
    return made


@torch.no_grad()
def _shapes(space: WeightSpace, m: int) -> dict[str, torch.Size]:
    """Shapes of what θ(λ) consists of, by the names of `WeightSpace.named_storage`."""
    anchors, device = space.anchors(), next(space.parameters()).device
    theta = space.weights(torch.full((m,), 1 / m, device=device) if anchors is None else anchors[0])
    return {name.removeprefix("network."): value.shape for name, value in theta.items()} | {
        name: value.shape for name, value in theta.items()
    }


def steps_per_epoch(size: int, training: Training, schedule: Schedule, m: int) -> int:
    """Batches of one epoch. Raises `DataError` when a batch is too small to be split."""
    return _batches_of_epoch(size, training, schedule, m)[0]


def plan_partition(world: World, size: int, training: Training, schedule: Schedule, m: int) -> Partition:
    """How the steps on `size` samples are divided among processes. Raises as `make_partition` and `check_sharding`."""
    check_sharding(training)
    smallest = _batches_of_epoch(size, training, schedule, m)[1]
    return make_partition(world, training.distributed, schedule, m, smallest)


def _batches_of_epoch(size: int, training: Training, schedule: Schedule, m: int) -> tuple[int, int]:
    """How many batches, and samples in the smallest one."""
    rest = size % training.batch_size
    whole = size // training.batch_size
    keeps_rest = rest > 0 and (whole == 0 or not training.drop_last)
    smallest = rest if keeps_rest else training.batch_size
    if schedule.batch == "split" and smallest < schedule.count(m):
        raise DataError(
            f"a batch of {smallest} samples cannot be split among {schedule.count(m)} preferences: "
            "raise training.batch_size or lower solver.preferences.per_batch"
        )
    return whole + keeps_rest, smallest
