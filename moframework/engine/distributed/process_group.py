"""Several processes that train one run: `World` over torch.distributed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, Self, TypeVar, cast

import torch
import torch.distributed as dist

# The functions of this module have the default group at the time of its import as their default argument. Imported
# later, by whatever needs it, they would keep the group's threads to the end of the process, which they then may abort.
import torch.distributed.nn
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from moframework.engine.distributed.world import World
from moframework.errors import MoframeworkError, PeerError, RunError
from moframework.seeding import seed_generators

__all__ = ["ProcessGroup"]

T = TypeVar("T")

# Gradients travel in pieces of about this size: large enough that latency does not count, small enough that one piece
# is packed while another is under way.
_BUCKET_BYTES = 32 * 2**20
# How long to wait for what a process that failed had to say, before taking it for one that was killed.
_LAST_WORDS = timedelta(seconds=2)


class ProcessGroup(World):
    """This process among others, over the default process group.

    Gradients are averaged once a step, after the backward passes of all preferences, in large pieces. This is not
    `DistributedDataParallel`: its hooks sit in its own `forward`, which `functional_call` on a skeleton without
    parameters never enters, and with M backward passes a step, all into the same parameters of the weight space, it
    would send each gradient M times or need `no_sync` for all but the last. The gradients of a weight space are final
    only when the last of these passes is, so there is little to overlap them with; once a step is the least there is
    to send.

    Small things that the host must know (whether to stop, which gradients exist) travel between hosts, so that no
    process waits for its device.
    """

    def __init__(self, store: Any = None) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.local_rank = int(os.environ.get("LOCAL_RANK", self.rank))
        self.backend = dist.get_backend()
        self._store = store
        self._shared: list[Tensor] = []

    @classmethod
    @contextlib.contextmanager
    def joined(cls) -> Iterator[Self]:
        """The default process group, made from the environment unless it exists. See `launch.joined`.

        Raises:
            RunError: the other processes cannot be reached.
        """
        if dist.is_initialized():
            yield cls()
            return
        cuda = torch.cuda.is_available() and dist.is_nccl_available()
        if cuda:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        try:
            store, rank, size = next(rendezvous("env://"))
            dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", store=store, rank=rank, world_size=size)
        except (ValueError, RuntimeError) as error:
            raise RunError(
                f"the {os.environ['WORLD_SIZE']} processes of this run do not find each other: {error}. Start them "
                "with: torchrun --nproc-per-node N -m moframework solve SPEC"
            ) from error
        try:
            yield cls(dist.PrefixStore("moframework", store))  # type: ignore[attr-defined]
        except BaseException:
            # NCCL would wait here for what will never come; the end of the process ends it.
            if not cuda:
                dist.destroy_process_group()
            raise
        dist.destroy_process_group()

    def sums(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """See `World.sums`. All tensors travel as one."""
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        total = cast(Tensor, _Sum.apply(flat, self.size))
        pieces = torch.split(total, [tensor.numel() for tensor in tensors])
        return [piece.view(tensor.shape).to(tensor.dtype) for piece, tensor in zip(pieces, tensors, strict=True)]

    def pooled(self, tensor: Tensor) -> Tensor:
        """See `World.pooled`."""
        return cast(Tensor, _Pool.apply(tensor))

    def rows(self, own: Tensor, count: int) -> Tensor:
        """See `World.rows`. As a sum of rows that are 0 elsewhere, so that parts may differ in size."""
        at = self.span(count)
        before, after = own.new_zeros(at.start, *own.shape[1:]), own.new_zeros(count - at.stop, *own.shape[1:])
        return self.sums([torch.cat([before, own, after])])[0]

    def gathered(self, own: Tensor) -> Tensor:
        """See `World.gathered`."""
        everyone = own.new_empty(self.size * len(own))
        dist.all_gather_into_tensor(everyone, own.detach().contiguous())
        return everyone.view(self.size, len(own))

    def means(self, tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
        """See `World.means`."""
        result = [None if tensor is None else tensor.detach().clone() for tensor in tensors]
        self._average([tensor for tensor in result if tensor is not None])
        return list(result)

    def average_gradients(self, parameters: Sequence[Tensor]) -> None:
        """See `World.average_gradients`."""
        have = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.uint8)
        dist.all_reduce(have, dist.ReduceOp.MAX)
        found: list[Tensor] = []
        for parameter, known in zip(parameters, have.tolist(), strict=True):
            if known and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            if parameter.grad is not None:
                found.append(parameter.grad)
        self._average(found)

    def spread(self, tensors: Sequence[Tensor], source: int = 0) -> None:
        """See `World.spread`."""
        for tensor in tensors:
            whole = tensor.detach().contiguous()
            dist.broadcast(whole, source)
            if whole.data_ptr() != tensor.data_ptr():
                tensor.detach().copy_(whole)

    def agreed(self, wish: bool) -> bool:
        """See `World.agreed`."""
        wishes = torch.tensor([wish], dtype=torch.uint8)
        dist.all_reduce(wishes, dist.ReduceOp.MAX)
        return bool(wishes)

    def from_first(self, make: Callable[[], T]) -> T:
        """See `World.from_first`. What is made is pickled, and read by this run's own processes only."""
        made: list[Any] = [None]
        with self.together():
            if self.first:
                made[0] = make()
        dist.broadcast_object_list(made, 0, device=torch.device("cpu"))
        return cast(T, made[0])

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """See `World.together`."""
        error: Exception | None = None
        try:
            yield
        except Exception as caught:
            error = caught
        if not self.agreed(error is not None):
            return
        # Only now, on the way out: exceptions as text and class, which pickle whatever they hold.
        told: list[tuple[str, bool] | None] = [None] * self.size
        mine = None if error is None else (f"{type(error).__name__}: {error}", isinstance(error, MoframeworkError))
        dist.all_gather_object(told, mine)
        source = next(rank for rank, words in enumerate(told) if words is not None)
        if self.first and error is not None:
            raise error
        text = cast(tuple[str, bool], told[source])[0]
        message = f"process {source} of {self.size} failed: {text}"
        raise (RunError(message) if self.first else PeerError(message)) from error

    def blamed(self, error: BaseException) -> Exception | None:
        """See `World.blamed`. A process that fails leaves its words in the store that all can read; one that was
        killed leaves none, and is noticed by its closed connection."""
        if self._store is None or isinstance(error, PeerError):
            return None
        if not (isinstance(error, RuntimeError) and _connection_lost(error)):
            self._store.set("failed", f"process {self.rank} of {self.size} failed: {type(error).__name__}: {error}")
            return None
        try:
            self._store.wait(["failed"], _LAST_WORDS)
        except RuntimeError:
            lost = f"another of the {self.size} processes ended without a word, perhaps killed ({error})"
            return RunError(lost) if self.first else PeerError(lost)
        return PeerError(self._store.get("failed").decode())

    def seed(self, value: int) -> None:
        """See `World.seed`."""
        seed_generators(value)
        self._shared = _generators()
        # Far from the seeds of other steps, which are 63 bits of a hash: this is no step's own.
        seed_generators((value + (self.rank + 1) * 0x9E3779B97F4A7C15) & 0x7FFFFFFFFFFFFFFF)

    @contextlib.contextmanager
    def alike(self) -> Iterator[None]:
        """See `World.alike`."""
        own = _generators()
        _set_generators(self._shared)
        try:
            yield
        finally:
            self._shared = _generators()
            _set_generators(own)

    def _average(self, tensors: Sequence[Tensor]) -> None:
        """Average in place; the next piece is packed while the one before travels."""
        under_way: list[tuple[list[Tensor], Tensor, Any]] = []
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            under_way.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
        for bucket, flat, work in under_way:
            work.wait()
            flat /= self.size
            pieces = torch.split(flat, [tensor.numel() for tensor in bucket])
            torch._foreach_copy_(bucket, [p.view(t.shape) for p, t in zip(pieces, bucket, strict=True)])


class _Sum(torch.autograd.Function):
    """The sum over processes. Each sends the gradient of the whole into its own summand only, times their number: the
    mean over processes, which they take of their parameters' gradients, is then the gradient of the whole."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, size: int) -> Tensor:
        ctx.size = size
        total = tensor.detach().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.size, None


class _Pool(torch.autograd.Function):
    """The sum over processes, with the sum of their gradients on the way back."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.detach().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Tensors in their order, in lists of one type and device and about `_BUCKET_BYTES`."""
    kinds: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for tensor in tensors:
        kinds.setdefault((tensor.dtype, tensor.device), []).append(tensor)
    for alike in kinds.values():
        bucket: list[Tensor] = []
        filled = 0
        for tensor in alike:
            bucket.append(tensor)
            filled += tensor.numel() * tensor.element_size()
            if filled >= _BUCKET_BYTES:
                yield bucket
                bucket, filled = [], 0
        if bucket:
            yield bucket


def _generators() -> list[Tensor]:
    states = [torch.get_rng_state()]
    if torch.cuda.is_available():
        states.append(torch.cuda.get_rng_state())
    return states


def _set_generators(states: Sequence[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if len(states) > 1:
        torch.cuda.set_rng_state(states[1])


def _connection_lost(error: RuntimeError) -> bool:
    """Whether a collective failed because another process is gone; torch says so in words and classes of its own."""
    if isinstance(error, dist.DistError):
        return True
    text = str(error).lower()
    return "gloo" in text or "nccl" in text or "connection closed by peer" in text or "connection reset" in text
