"""How one training step is divided among processes: by samples, or by preferences.

Whatever the partition, the step's gradient is that of one process with the whole batch and all preferences (up to
rounding; dropout draws other masks, and see `batchnorm` for BatchNorm):

- Losses are additive statistics, finished once. By samples, the *statistics* are summed over processes before they are
  finished: every process holds the exact losses L (M, m) of the whole batch, of means and of all else, and hands them
  to balancings and objective, which therefore know nothing of processes.
- By preferences, each process has whole rows of L. An objective that is no mean over preferences gets all rows.
- Gradients of single tasks, where a balancing or the objective needs them, are those of the whole batch too.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
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


class Partition(OneProcess, ABC):
    """What of a step with M preferences is this process's part.

    Attributes:
        world: the processes.
        item_seed: what tells the random numbers of this process's samples from those of others.
        parts_batch: whether processes see different samples of a batch.
    """

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def shared(self) -> bool:
        """See `OneProcess.shared`."""
        return self.world.size > 1

    @abstractmethod
    def samples(self, order: Tensor, batch_size: int, pieces: int) -> tuple[Tensor, int]:
        """This process's samples of an epoch.

        Args:
            order: all samples in the epoch's order (k,), whole batches first.
            batch_size: of the whole batch.
            pieces: parts that each batch is divided into (`batch: split`), of which this process needs its own share.

        Returns:
            its order, and its batch size; the number of batches is that of the whole.
        """

    @abstractmethod
    def own(self, count: int) -> range:
        """The rows of `count` preferences that this process runs."""

    @abstractmethod
    def totals(self, totals: Sequence[Tensor]) -> list[Tensor]:
        """Statistics of the whole batch, from those of this process's samples."""

    @abstractmethod
    def whole(self, gradients: TensorsOrNone) -> TensorsOrNone:
        """Gradients of a loss of the whole batch, from what reached this process."""

    @abstractmethod
    def matrix(self, rows: Tensor, count: int) -> Tensor:
        """All `count` rows from this process's `own` ones; already all where it has as many."""

    @abstractmethod
    def weight(self, rows: int, count: int) -> float:
        """What terms are multiplied by that this process alone has, `rows` of `count`: gradients are averaged."""

    @abstractmethod
    def deciding(self, separable: bool) -> contextlib.AbstractContextManager[None]:
        """Around what the objective draws at random: alike on all processes, where it treats the same rows on all."""

    @abstractmethod
    def settle(self, states: nn.ModuleList) -> None:
        """Make the objective's states the same on all processes, `states` being those of single preferences where
        there are several."""


class BySamples(Partition):
    """Every process runs all preferences on its share of the batch. Also the partition of a single process."""

    parts_batch = True

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.item_seed = () if world.size == 1 else (world.rank,)

    def samples(self, order: Tensor, batch_size: int, pieces: int) -> tuple[Tensor, int]:
        """Its share of each piece of each batch: piece j of its share is its share of piece j."""
        if self.world.size == 1:
            return order, batch_size
        own = []
        for batch in torch.split(order, batch_size):
            for piece in batch.tensor_split(pieces):
                at = self.world.span(len(piece))
                own.append(piece[at.start : at.stop])
        largest = sum(len(self.world.span(len(piece))) for piece in torch.empty(batch_size).tensor_split(pieces))
        return torch.cat(own), largest

    def own(self, count: int) -> range:
        """All rows."""
        return range(count)

    def totals(self, totals: Sequence[Tensor]) -> list[Tensor]:
        """Sums over processes."""
        return self.world.sums(totals)

    def whole(self, gradients: TensorsOrNone) -> TensorsOrNone:
        """Means over processes, for `World.sums` has multiplied each part."""
        return self.world.means(gradients)

    def matrix(self, rows: Tensor, count: int) -> Tensor:
        """The rows themselves."""
        return rows

    def weight(self, rows: int, count: int) -> float:
        """1: `World.sums` sees to it."""
        return 1.0

    def deciding(self, separable: bool) -> contextlib.AbstractContextManager[None]:
        """Always alike."""
        return self.world.alike()

    def settle(self, states: nn.ModuleList) -> None:
        """Nothing: all processes saw the same losses."""


class ByPreferences(Partition):
    """Every process runs its part of the preferences on the whole batch."""

    parts_batch = False

    def samples(self, order: Tensor, batch_size: int, pieces: int) -> tuple[Tensor, int]:
        """All samples."""
        return order, batch_size

    def own(self, count: int) -> range:
        """Its part of the rows."""
        return self.world.span(count)

    def totals(self, totals: Sequence[Tensor]) -> list[Tensor]:
        """The totals themselves."""
        return list(totals)

    def whole(self, gradients: TensorsOrNone) -> TensorsOrNone:
        """The gradients themselves."""
        return gradients

    def matrix(self, rows: Tensor, count: int) -> Tensor:
        """Gathered, unless it is one row that is treated by itself."""
        return rows if len(rows) == count else self.world.rows(rows, count)

    def weight(self, rows: int, count: int) -> float:
        """The number of processes, where others have other rows."""
        return 1.0 if rows == count else float(self.world.size)

    def deciding(self, separable: bool) -> contextlib.AbstractContextManager[None]:
        """Alike where all rows are treated at once; else each process draws for its own."""
        return contextlib.nullcontext() if separable else self.world.alike()

    def settle(self, states: nn.ModuleList) -> None:
        """From the process that runs the preference of a state, to all."""
        if len(states) < 2:
            return
        each = [len(part) for part in torch.empty(len(states)).tensor_split(self.world.size)]
        owners = [rank for rank, count in enumerate(each) for _ in range(count)]
        for state, owner in zip(states, owners, strict=True):
            self.world.spread([*state.parameters(), *state.buffers()], owner)


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
        return BySamples(world)
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
