"""The processes that train one run, seen from one of them.

`World` names the collectives that the engine needs: all-reduce, all-gather, broadcast, agreement, one random stream.
It is itself the world of a single process, where each of them is the identity; `ProcessGroup` (imported only where
there are several processes) runs them through torch.distributed.

Contract of all that computes in a group: **every process calls the same methods in the same order**. So whatever one
of them decides (a stop, the best front, a loss that is not finite), it decides from numbers that are the same on all
ranks, bit for bit, as the results of `all_reduce_sum` and `all_gather_rows` are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from moframework.seeding import seed_generators

__all__ = ["World"]

T = TypeVar("T")


class World:
    """One of `size` processes that train one run; a single one, unless a `ProcessGroup`.

    Attributes:
        rank: number of this process, 0 … size − 1; rank 0 writes files and reports.
        size: how many processes there are (the world size of torch.distributed).
        local_rank: number of this process on its machine, which picks its device.
        backend: how they communicate, as torch.distributed calls it; None for a single process.

    Gradients: the gradient of the whole step is the *mean* over ranks of what they leave in `.grad`, as in
    `DistributedDataParallel`. So what every rank computes alike (penalties, the objective's own parameters) counts
    once, and what a rank computes only in part is multiplied by `size` on its way back: `all_reduce_sum` and
    `all_gather_rows` do that.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    backend: str | None = None

    @property
    def is_rank_zero(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def local_range(self, count: int) -> range:
        """This rank's part of `count` things: contiguous, in the order of ranks, sizes different by at most 1."""
        each, rest = divmod(count, self.size)
        start = self.rank * each + min(self.rank, rest)
        return range(start, start + each + (self.rank < rest))

    def all_reduce_sum(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Each tensor summed over ranks, for all of them to use alike. The gradient goes into this rank's own tensors
        only, times `size`, without communication."""
        return list(tensors)

    def differentiable_all_reduce(self, tensor: Tensor) -> Tensor:
        """A tensor summed over ranks, which each of them uses in its own way, in contrast to `all_reduce_sum`: the
        gradient is the sum of those of all ranks."""
        return tensor

    def all_gather_rows(self, rows: Tensor, count: int) -> Tensor:
        """All `count` rows, of which this rank has those of `local_range(count)`. The gradient goes into its own rows,
        times `size`."""
        return rows

    def all_gather(self, tensor: Tensor) -> Tensor:
        """The tensors (n,) of all ranks, (size, n), without gradient."""
        return tensor.detach().unsqueeze(0)

    def all_reduce_mean(self, tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Each tensor averaged over ranks, without gradient; None where it is None, on all ranks alike."""
        return list(tensors)

    def average_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Average the gradients of parameters over ranks, in place. One that no rank has stays None."""

    def broadcast(self, tensors: Sequence[Tensor], source: int = 0) -> None:
        """Overwrite tensors, in place, with those of rank `source`."""

    def broadcast_state(self, state: nn.Module, source: int = 0) -> None:
        """Overwrite a module's parameters and buffers, in place, with those of rank `source`; buffers get their sizes
        as well, since one may have its size from work that only that rank has done."""
        buffers = list(state.buffers())
        if buffers:
            sizes = torch.tensor([size for each in buffers for size in each.shape], device=buffers[0].device)
            self.broadcast([sizes], source)
            for each, size in zip(buffers, torch.split(sizes, [each.dim() for each in buffers]), strict=True):
                each.resize_(size.tolist())
        self.broadcast([*state.parameters(), *buffers], source)

    def any_rank(self, flag: bool) -> bool:
        """Whether the flag is set on any rank."""
        return flag

    def from_rank_zero(self, make: Callable[[], T]) -> T:
        """What `make` returns on rank 0, broadcast to all ranks; what it raises there is raised on all.

        Raises:
            PeerError: on the other ranks, when it raised on rank 0.
        """
        return make()

    def fail_together(self) -> contextlib.AbstractContextManager[None]:
        """A block in which all ranks fail when one does. Rank 0 raises the error that was met, the others
        `PeerError`."""
        return contextlib.nullcontext()

    def root_cause(self, error: BaseException) -> Exception | None:
        """The error to raise in place of `error`, when that only follows from what went wrong on another rank; None
        when it is this rank's own, which the others are told."""
        return None

    def seed(self, value: int) -> None:
        """Seed torch's generators: this rank's own, and the one that all ranks share inside `shared_rng`."""
        seed_generators(value)

    def shared_rng(self) -> contextlib.AbstractContextManager[None]:
        """A block in which all ranks draw the same random numbers."""
        return contextlib.nullcontext()
