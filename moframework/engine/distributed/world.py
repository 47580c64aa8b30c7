"""The processes that train one run together, seen from one of them.

`World` is what the engine asks of the others: sums, agreement, one random stream. `Alone` is the world of a single
process, in which nothing is to be done; `ProcessGroup` (imported only where there are several processes) talks through
torch.distributed.

Contract of all that computes in a group: **every process calls the same methods in the same order**. What one of them
decides on (a stop, the best front, a loss that is not finite) is therefore made from numbers that are the same
everywhere, bit for bit, as results of `sums` and `rows` are.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import Tensor

from moframework.seeding import seed_generators

__all__ = ["Alone", "World"]

T = TypeVar("T")


class World(ABC):
    """One of `size` processes that train one run.

    Attributes:
        rank: number of this process, 0 … size − 1; the first one writes and speaks.
        size: how many there are.
        local_rank: number of this process on its machine, which picks its device.
        backend: how they talk, as torch.distributed calls it; None alone.

    Gradients: the parameters' gradient of the whole is the *mean* of what the processes leave in `.grad`, as in
    `DistributedDataParallel`. So whatever every process computes alike (penalties, the objective's own parameters)
    counts once, and what each computes only in part is multiplied by `size` on its way back: by `sums` and `rows`.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    backend: str | None = None

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def span(self, count: int) -> range:
        """This process's part of `count` things: contiguous, in the order of ranks, sizes different by at most 1."""
        each, rest = divmod(count, self.size)
        start = self.rank * each + min(self.rank, rest)
        return range(start, start + each + (self.rank < rest))

    @abstractmethod
    def sums(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Each tensor summed over the processes, on all of them. Backward goes into this process's own tensors."""

    @abstractmethod
    def pooled(self, tensor: Tensor) -> Tensor:
        """A tensor summed over the processes for all to go on with. Backward comes from all of them: in contrast to
        `sums`, what each makes of the sum is its own."""

    @abstractmethod
    def rows(self, own: Tensor, count: int) -> Tensor:
        """All `count` rows, of which this process has those of `span(count)`. Backward goes into its own rows."""

    @abstractmethod
    def gathered(self, own: Tensor) -> Tensor:
        """The tensors (n,) of all processes, (size, n), without gradient."""

    @abstractmethod
    def means(self, tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Each tensor averaged over the processes, without gradient; None where it is None, on all of them alike."""

    @abstractmethod
    def average_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Average the gradients of parameters, in place. One that no process has stays None."""

    @abstractmethod
    def spread(self, tensors: Sequence[Tensor], source: int = 0) -> None:
        """Overwrite tensors, in place, with those of the process `source`."""

    @abstractmethod
    def agreed(self, wish: bool) -> bool:
        """Whether any process wishes."""

    @abstractmethod
    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` returns in the first process, on all of them; what it raises there is raised on all.

        Raises:
            PeerError: in the others, when it raised in the first.
        """

    @abstractmethod
    def together(self) -> contextlib.AbstractContextManager[None]:
        """A part in which all processes fail when one does. The first raises the error that was met, the others
        `PeerError`."""

    @abstractmethod
    def blamed(self, error: BaseException) -> Exception | None:
        """The error to raise in place of `error`, when that is only the echo of what went wrong in another process;
        None when it is this process's own, which the others are told."""

    @abstractmethod
    def seed(self, value: int) -> None:
        """Seed torch's generators: this process's own, and the one that all share inside `alike`."""

    @abstractmethod
    def alike(self) -> contextlib.AbstractContextManager[None]:
        """A part in which all processes draw the same random numbers."""


class Alone(World):
    """A single process: everything is already whole, and nothing is done."""

    def sums(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The tensors themselves."""
        return list(tensors)

    def pooled(self, tensor: Tensor) -> Tensor:
        """The tensor itself."""
        return tensor

    def rows(self, own: Tensor, count: int) -> Tensor:
        """The rows themselves."""
        return own

    def gathered(self, own: Tensor) -> Tensor:
        """One row."""
        return own.unsqueeze(0)

    def means(self, tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
        """The tensors themselves."""
        return list(tensors)

    def average_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Nothing."""

    def spread(self, tensors: Sequence[Tensor], source: int = 0) -> None:
        """Nothing."""

    def agreed(self, wish: bool) -> bool:
        """The wish itself."""
        return wish

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` returns."""
        return make()

    def together(self) -> contextlib.AbstractContextManager[None]:
        """Nothing."""
        return contextlib.nullcontext()

    def blamed(self, error: BaseException) -> Exception | None:
        """None: there is no other process."""
        return None

    def seed(self, value: int) -> None:
        """Seed torch's generators."""
        seed_generators(value)

    def alike(self) -> contextlib.AbstractContextManager[None]:
        """Nothing."""
        return contextlib.nullcontext()
