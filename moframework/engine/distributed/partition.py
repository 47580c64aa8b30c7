"""How one training step is partitioned among ranks: by samples, or by preferences.

Whatever the partition, the step's gradient is that of one process with the whole batch and all preferences (up to
rounding; dropout draws other masks, and see `sync_batchnorm` for BatchNorm):

- Losses are additive statistics, finished once. By samples, the *statistics* are summed over ranks before they are
  finished: every rank holds the exact losses L (M, m) of the whole batch, of means and of all else, and hands them
  to balancings and objective, which therefore know nothing of ranks.
- By preferences, each rank has whole rows of L. An objective that is no mean over preferences gets all rows.
- Gradients of single tasks, where a balancing or the objective needs them, are those of the whole batch too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from moframework.engine.distributed.world import World
from moframework.engine.settings import Distributed
from moframework.engine.step import OneProcess
from moframework.errors import DataError, SpecError
from moframework.preferences import Schedule

__all__ = ["ByPreferences", "BySamples", "Partition", "make_partition"]

TensorsOrNone = Sequence[Tensor | None]


class Partition(OneProcess):
    """This rank's part of a step that several share.

    Attributes:
        world: the processes.
    """

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def shared(self) -> bool:
        """See `OneProcess.shared`."""
        return self.world.size > 1


class BySamples(Partition):
    """Every rank runs all preferences on its share of the batch."""

    shards_batch = True

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.item_seed = (world.rank,)

    def local_samples(self, order: Tensor, batch_size: int, splits: int) -> tuple[Tensor, int]:
        """Its share of each split of each batch: split j of its share is its share of split j."""
        own = []
        for batch in torch.split(order, batch_size):
            for part in batch.tensor_split(splits):
                at = self.world.local_range(len(part))
                own.append(part[at.start : at.stop])
        largest = sum(len(self.world.local_range(len(part))) for part in torch.empty(batch_size).tensor_split(splits))
        return torch.cat(own), largest

    def reduce_statistics(self, statistics: Sequence[Tensor]) -> list[Tensor]:
        """Sums over ranks."""
        return self.world.all_reduce_sum(statistics)

    def reduce_gradients(self, gradients: TensorsOrNone) -> TensorsOrNone:
        """Means over ranks, for `World.all_reduce_sum` has multiplied each part."""
        return self.world.all_reduce_mean(gradients)

    def objective_rng(self, separable: bool) -> contextlib.AbstractContextManager[None]:
        """Always the shared one."""
        return self.world.shared_rng()


class ByPreferences(Partition):
    """Every rank runs its part of the preferences on the whole batch."""

    def local_preferences(self, count: int) -> range:
        """Its part of them."""
        return self.world.local_range(count)

    def gather_rows(self, rows: Tensor, count: int) -> Tensor:
        """Gathered, unless it is one row that is treated by itself."""
        return rows if len(rows) == count else self.world.all_gather_rows(rows, count)

    def gradient_scale(self, rows: int, count: int) -> float:
        """The number of ranks, where others have other rows."""
        return 1.0 if rows == count else float(self.world.size)

    def objective_rng(self, separable: bool) -> contextlib.AbstractContextManager[None]:
        """The shared one where all rows are treated at once; else each rank draws for its own."""
        return contextlib.nullcontext() if separable else self.world.shared_rng()

    def sync_states(self, states: nn.ModuleList) -> None:
        """Broadcast from the rank that runs the preference of a state."""
        if len(states) < 2:
            return
        for rank, local in enumerate(torch.arange(len(states)).tensor_split(self.world.size)):
            for j in local.tolist():
                self.world.broadcast([*states[j].parameters(), *states[j].buffers()], rank)


def make_partition(world: World, options: Distributed, schedule: Schedule, m: int, smallest: int) -> OneProcess:
    """The partition that `options` ask for.

    Args:
        smallest: samples of the smallest batch.

    Raises:
        SpecError: fewer preferences a step than processes to spread them over.
        DataError: a batch with fewer samples than there are parts.
    """
    count = schedule.count(m)
    if world.size == 1:
        return OneProcess()
    if options.preferences == "spread":
        if count < world.size:
            raise SpecError(
                f"training.distributed.preferences: {count} preferences a step cannot be spread over {world.size} "
                "processes; raise solver.preferences.per_batch, start fewer, or use shared"
            )
        return ByPreferences(world)
    parts = world.size * (count if schedule.batch == "split" else 1)
    if smallest < parts:
        raise DataError(
            f"a batch of {smallest} samples cannot be divided into {parts} parts, by {world.size} processes"
            + (f" and {count} preferences" if parts > world.size else "")
            + ": raise training.batch_size, start fewer processes, or use training.distributed.preferences: spread"
        )
    return BySamples(world)
