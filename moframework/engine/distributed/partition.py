"""How one training step is partitioned among ranks by samples; by preferences it is `step.Partition`.

Whatever the partition, the step's gradient is that of one process with the whole batch and all preferences (up to
rounding; dropout draws other masks, and see `sync_batchnorm` for BatchNorm). By samples, the additive *statistics* of
losses are summed over ranks before they are finished: every rank holds the exact losses L (M, m) of the whole batch, of
means and of all else, and hands them to balancings and objective, which therefore know nothing of ranks. Gradients of
single tasks are those of the whole batch too. By preferences, each rank has whole rows of L.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from moframework.engine.settings import Distributed
from moframework.engine.step import Partition
from moframework.errors import DataError, SpecError
from moframework.preferences import Schedule
from moframework.processes.world import World

__all__ = ["BySamples", "make_partition"]

TensorsOrNone = Sequence[Tensor | None]


class BySamples(Partition):
    """Every rank runs all preferences on its share of the batch."""

    shards_batch = True

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.item_seed = (world.rank,)

    def local_preferences(self, count: int) -> range:
        """All of them."""
        return range(count)

    def local_samples(self, order: Tensor, batch_size: int, splits: int) -> tuple[Tensor, int]:
        """Its share of each split of each batch: split j of its share is its share of split j."""
        own = []
        for batch in torch.split(order, batch_size):
            for part in batch.tensor_split(splits):
                at = self.world.local_range(len(part))
                own.append(part[at.start : at.stop])
        largest = sum(len(self.world.local_range(len(part))) for part in torch.empty(batch_size).tensor_split(splits))
        return torch.cat(own), largest

    def reduce_statistics(self, statistics: Sequence[Tensor], apart: bool = False) -> list[Tensor]:
        """Sums over ranks: of all at once, or one after the other."""
        if apart:
            return [self.world.all_reduce_sum([own])[0] for own in statistics]
        return self.world.all_reduce_sum(statistics)

    def reduce_gradients(self, gradients: TensorsOrNone) -> TensorsOrNone:
        """Means over ranks, for `World.all_reduce_sum` has multiplied each part."""
        return self.world.all_reduce_mean(gradients)

    def objective_rng(self, separable: bool) -> contextlib.AbstractContextManager[None]:
        """Always the shared one."""
        return self.world.shared_rng()

    def sync_states(self, states: nn.ModuleList) -> None:
        """They are the same."""


def make_partition(world: World, options: Distributed, schedule: Schedule, m: int, smallest: int) -> Partition:
    """The partition that `options` ask for.

    Args:
        smallest: samples of the smallest batch.

    Raises:
        SpecError: fewer preferences a step than processes to spread them over.
        DataError: a batch with fewer samples than there are parts.
    """
    count = schedule.count(m)
    if world.size == 1:
        return Partition()
    if options.preferences == "spread":
        if count < world.size:
            raise SpecError(
                f"training.distributed.preferences: {count} preferences a step cannot be spread over {world.size} "
                "processes; raise solver.preferences.per_batch, start fewer, or use shared"
            )
        return Partition(world)
    parts = world.size * (count if schedule.batch == "split" else 1)
    if smallest < parts:
        raise DataError(
            f"a batch of {smallest} samples cannot be divided into {parts} parts, by {world.size} processes"
            + (f" and {count} preferences" if parts > world.size else "")
            + ": raise training.batch_size, start fewer processes, or use training.distributed.preferences: spread"
        )
    return BySamples(world)
