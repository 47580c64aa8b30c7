"""Several processes that train one run: `World` over torch.distributed."""

from __future__ import annotations

import contextlib
import itertools
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

from moframework.errors import LostPeerError, PeerError, RunError
from moframework.processes.world import World
from moframework.seeding import seed_generators

__all__ = ["ProcessGroup"]

T = TypeVar("T")

# Gradients travel in buckets of about this size: large enough that latency does not count, small enough that one bucket
# is packed while another is under way.
_BUCKET_BYTES = 32 * 2**20
# How long to wait for what a process that failed had to say, before taking it for one that was killed.
_LAST_WORDS = timedelta(seconds=2)


class ProcessGroup(World):
    """This process among others, over the default process group.

    Gradients are averaged once a step, after the backward passes of all preferences, in large buckets. This is not
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
        self._shared_rng_state: list[Tensor] = []

    @classmethod
    @contextlib.contextmanager
    def from_environment(cls) -> Iterator[Self]:
        """The default process group, initialized from the environment unless it is already. See `launched_world`.

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

    def all_reduce_sum(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """See `World.all_reduce_sum`. All tensors travel as one."""
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        total = cast(Tensor, _AllReduce.apply(flat, False))
        parts = torch.split(total, [tensor.numel() for tensor in tensors])
        return [part.view(tensor.shape).to(tensor.dtype) for part, tensor in zip(parts, tensors, strict=True)]

    def differentiable_all_reduce(self, tensor: Tensor) -> Tensor:
        return cast(Tensor, _AllReduce.apply(tensor, True))

    def all_gather_rows(self, rows: Tensor, count: int) -> Tensor:
        """See `World.all_gather_rows`. As a sum of rows that are 0 elsewhere, so that parts may differ in size."""
        at = self.local_range(count)
        before, after = rows.new_zeros(at.start, *rows.shape[1:]), rows.new_zeros(count - at.stop, *rows.shape[1:])
        return self.all_reduce_sum([torch.cat([before, rows, after])])[0]

    def all_gather(self, tensor: Tensor) -> Tensor:
        gathered = tensor.new_empty(self.size * len(tensor))
        dist.all_gather_into_tensor(gathered, tensor.detach().contiguous())
        return gathered.view(self.size, len(tensor))

    def all_reduce_mean(self, tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
        result = [None if tensor is None else tensor.detach().clone() for tensor in tensors]
        self._average([tensor for tensor in result if tensor is not None])
        return list(result)

    def average_gradients(self, parameters: Sequence[Tensor]) -> None:
        present = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.uint8)
        dist.all_reduce(present, dist.ReduceOp.MAX)
        gradients: list[Tensor] = []
        for parameter, somewhere in zip(parameters, present.tolist(), strict=True):
            if somewhere and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            if parameter.grad is not None:
                gradients.append(parameter.grad)
        self._average(gradients)

    def broadcast(self, tensors: Sequence[Tensor], source: int = 0) -> None:
        for tensor in tensors:
            dense = tensor.detach().contiguous()
            dist.broadcast(dense, source)
            if dense.data_ptr() != tensor.data_ptr():
                tensor.detach().copy_(dense)

    def any_rank(self, flag: bool) -> bool:
        flags = torch.tensor([flag], dtype=torch.uint8)
        dist.all_reduce(flags, dist.ReduceOp.MAX)
        return bool(flags)

    def from_rank_zero(self, make: Callable[[], T]) -> T:
        """See `World.from_rank_zero`. What is made is pickled, and read by this run's own processes only."""
        made: list[Any] = [None]
        with self.fail_together():
            if self.is_rank_zero:
                made[0] = make()
        dist.broadcast_object_list(made, 0, device=torch.device("cpu"))
        return cast(T, made[0])

    @contextlib.contextmanager
    def fail_together(self) -> Iterator[None]:
        error: Exception | None = None
        try:
            yield
        except Exception as caught:
            error = caught
        if not self.any_rank(error is not None):
            return
        # Only now, on the way out: exceptions as text, which pickles whatever they hold.
        texts: list[str | None] = [None] * self.size
        dist.all_gather_object(texts, None if error is None else f"{type(error).__name__}: {error}")
        if self.is_rank_zero and error is not None:
            raise error
        source = next(rank for rank, text in enumerate(texts) if text is not None)
        message = f"process {source} of {self.size} failed: {texts[source]}"
        raise (RunError(message) if self.is_rank_zero else PeerError(message)) from error

    def root_cause(self, error: BaseException) -> Exception | None:
        """See `World.root_cause`. A process that fails leaves its words in the store that all can read; one that was
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
            return LostPeerError(lost)
        return PeerError(self._store.get("failed").decode())

    def seed(self, value: int) -> None:
        seed_generators(value)
        self._shared_rng_state = _rng_state()
        # Far from the seeds of other steps, which are 63 bits of a hash: this is no step's own.
        seed_generators((value + (self.rank + 1) * 0x9E3779B97F4A7C15) & 0x7FFFFFFFFFFFFFFF)

    @contextlib.contextmanager
    def shared_rng(self) -> Iterator[None]:
        own = _rng_state()
        _set_rng_state(self._shared_rng_state)
        try:
            yield
        finally:
            self._shared_rng_state = _rng_state()
            _set_rng_state(own)

    def _average(self, tensors: Sequence[Tensor]) -> None:
        """Average in place, bucket by bucket: the next one is packed while the one before travels."""
        pending: list[tuple[list[Tensor], Tensor, Any]] = []
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            pending.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
        for bucket, flat, work in pending:
            work.wait()
            flat /= self.size
            parts = torch.split(flat, [tensor.numel() for tensor in bucket])
            torch._foreach_copy_(bucket, [part.view(t.shape) for part, t in zip(parts, bucket, strict=True)])


class _AllReduce(torch.autograd.Function):
    """The sum over ranks. Backward gives each rank the sum of all ranks' gradients where `sums_gradients`. Otherwise
    these are alike, and each gives its own to its own summand, times the number of ranks: the mean over ranks, which
    is taken of the parameters' gradients, is then the gradient of the whole."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, sums_gradients: bool) -> Tensor:
        ctx.sums_gradients = sums_gradients
        total = tensor.detach().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        if not ctx.sums_gradients:
            return gradients[0] * dist.get_world_size(), None
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total, None


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Tensors in their order, in lists of one type and device and about `_BUCKET_BYTES`."""
    kinds: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for tensor in tensors:
        kinds.setdefault((tensor.dtype, tensor.device), []).append(tensor)
    for alike in kinds.values():
        starts = itertools.accumulate((tensor.nbytes for tensor in alike), initial=0)
        numbered = zip((start // _BUCKET_BYTES for start in starts), alike, strict=False)
        for _, bucket in itertools.groupby(numbered, key=lambda pair: pair[0]):
            yield [tensor for _, tensor in bucket]


def _rng_state() -> list[Tensor]:
    states = [torch.get_rng_state()]
    if torch.cuda.is_available():
        states.append(torch.cuda.get_rng_state())
    return states


def _set_rng_state(states: Sequence[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if len(states) > 1:
        torch.cuda.set_rng_state(states[1])


def _connection_lost(error: RuntimeError) -> bool:
    """Whether a collective failed because another process is gone; torch says so in words and classes of its own."""
    if isinstance(error, dist.DistError):
        return True
    text = str(error).lower()
    return "gloo" in text or "nccl" in text or "connection closed by peer" in text or "connection reset" in text
