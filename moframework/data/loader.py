"""Batches of a data set: selected from tensors, or loaded item by item, alike for any number of workers."""

from __future__ import annotations

import pickle
import random
import traceback
from collections.abc import Iterator, Mapping, Sequence, Sized
from functools import partial
from typing import Any, cast

import numpy as np
import torch
import torch.utils.data
from torch import Tensor

from moframework.data.collate import ItemFault, checked_batch, collate_of, stacked, stacked_targets
from moframework.data.dataset import Batch, Dataset, TensorData, where
from moframework.errors import DataError
from moframework.inputs.trees import Tree, mapped, named_leaves, select_samples, tensor_leaves

__all__ = ["arranged", "as_floats", "batches", "gathered", "loaded_items"]


def batches(
    data: Dataset,
    batch_size: int,
    *,
    order: Tensor | None,
    device: torch.device | str,
    workers: int = 0,
    skip: int = 0,
    drop_last: bool = False,
    seed: int | Sequence[int] = 0,
) -> Iterator[Batch]:
    """Batches of `data`, on `device`.

    Inputs of 8-bit unsigned integers are taken for images (see `Dataset`): they travel as they are and become float32
    in [0, 1] on the device. Transfers to a CUDA device go through pinned memory and do not wait, so that the next batch
    is selected or loaded while the device computes.

    Loading is reproducible: where items of a data set are random (augmentation), the numbers they draw from torch,
    numpy and random depend on `seed` and the batch's position only, not on the number of workers nor on what was
    skipped. The caller's random state is left as it was.

    Args:
        data: a `TensorData`, or any map-style data set with a length.
        batch_size: samples a batch b; the last may have fewer.
        order: indices of the samples in the order wanted (k,); None takes all as they are.
        device: where batches go.
        workers: processes that load; 0 loads in this one. `TensorData` needs none.
        skip: batches at the beginning to leave out, without loading them.
        drop_last: leave out a last batch of fewer than `batch_size` samples.
        seed: of the items' random numbers: a number, or several, such as seed and epoch.

    Yields:
        inputs (b, ...) and targets {key: (b, ...)}.

    Raises:
        DataError: an item is not (input, {key: target}); items do not make a batch, or the data's collate function
            makes none. What the data set itself raises in a process that loads is raised as it was.
    """
    device = torch.device(device)
    for x, targets in _raw_batches(data, batch_size, order, device, workers, skip, drop_last, seed):
        yield (
            as_floats(mapped(partial(_to_device, device=device), x)),
            {key: _to_device(target, device) for key, target in targets.items()},
        )


def gathered(data: Dataset, *, workers: int = 0, batch_size: int = 256) -> TensorData:
    """All samples of `data`, each read once, as tensors in memory. Images of 8 bits stay so.

    Args:
        data: any data set that `batches` takes; its items should not be random, since each is drawn only once.
        workers: processes that load.
        batch_size: samples read at a time.

    Raises:
        DataError: an item is not (input, {key: target}), or a collate function makes batches of several sizes.
    """
    if isinstance(data, TensorData):
        return data
    parts = list(_raw_batches(data, batch_size, None, torch.device("cpu"), workers, 0, False, 0))
    columns = {f"input '{path}'" if path else "input": path for path in named_leaves(parts[0][0])}
    columns |= {f"target '{key}'": key for key in parts[0][1]}
    for name, key in columns.items():
        shapes = {(named_leaves(x)[key] if name.startswith("input") else t[key]).shape[1:] for x, t in parts}
        if len(shapes) > 1:
            raise DataError(
                f"the {name} varies in size from batch to batch, so the data cannot be kept as tensors: leave "
                "training.resident at auto or false, or give the collate function a fixed length"
            )
    targets = {key: torch.cat([targets[key] for _, targets in parts]) for key in parts[0][1]}
    leaves = [torch.cat(same) for same in zip(*(tensor_leaves(x) for x, _ in parts), strict=True)]
    rest = iter(leaves)
    origins = _Asked(data) if where(data, 0) is not None else None
    return TensorData(mapped(lambda _: next(rest), parts[0][0]), targets, origins=origins)


class _Asked:
    """Where samples come from, asked of the data set that they were read from."""

    def __init__(self, data: Dataset) -> None:
        self.data = data

    def __getitem__(self, index: int) -> str:
        return str(where(self.data, index))


def _raw_batches(
    data: Dataset,
    batch_size: int,
    order: Tensor | None,
    device: torch.device,
    workers: int,
    skip: int,
    drop_last: bool,
    seed: int | Sequence[int],
) -> Iterator[Batch]:
    """Batches as the data has them: wherever they are, images of 8 bits as such. Arguments are those of `batches`."""
    count = len(cast(Sized, data)) if order is None else len(order)
    end = count - count % batch_size if drop_last else count
    starts = range(skip * batch_size, end, batch_size)
    if isinstance(data, TensorData):
        yield from _select(data, batch_size, starts, end, order)
        return
    plan = [
        (position, list(range(start, stop)) if order is None else order[start:stop].tolist())
        for position, start in enumerate(starts, start=skip)
        for stop in [min(start + batch_size, end)]
    ]
    loader: torch.utils.data.DataLoader[Batch] = torch.utils.data.DataLoader(
        _LoadedBatches(data, (seed,) if isinstance(seed, int) else tuple(seed)),
        batch_size=None,
        sampler=cast(Any, plan),
        num_workers=workers,
        collate_fn=_PinnableBatch if device.type == "cuda" else _unchanged,
        pin_memory=device.type == "cuda",
        # DataLoader draws its workers' base seed from here, not from the caller's generator.
        generator=torch.Generator().manual_seed(0),
    )
    for batch in loader:
        given = batch.batch if isinstance(batch, _PinnableBatch) else batch
        if isinstance(given, _WorkerError):
            raise given.error from _WorkerTraceback(given.trace)
        yield given


def as_floats(x: Tree) -> Tree:
    """Inputs with images of 8 bits as float32 in [0, 1], and anything else as it is; see `Dataset`."""
    if isinstance(x, Tensor):
        return x.float().div_(255) if x.dtype == torch.uint8 else x
    return mapped(lambda leaf: as_floats(leaf) if leaf.dim() > 2 else leaf, x)


def _unchanged(batch: Any) -> Any:
    return batch


class _PinnableBatch:
    """A batch on its way through DataLoader, which would make lists of tuples as it pins their memory."""

    def __init__(self, batch: Any) -> None:
        self.batch = batch

    def pin_memory(self) -> _PinnableBatch:
        if not isinstance(self.batch, _WorkerError):
            x, targets = self.batch
            self.batch = mapped(Tensor.pin_memory, x), {key: target.pin_memory() for key, target in targets.items()}
        return self


def _to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor` on `device`, without waiting for the transfer where that is possible."""
    if device.type == "cuda" and tensor.device.type == "cpu" and not tensor.is_pinned():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def _select(data: TensorData, batch_size: int, starts: range, end: int, order: Tensor | None) -> Iterator[Batch]:
    if order is not None:
        order = order.to(data.device)
    for start in starts:
        stop = min(start + batch_size, end)
        if order is None:
            x = select_samples(data.inputs, slice(start, stop))
            targets = {key: target[start:stop] for key, target in data.targets.items()}
        else:
            chosen = order[start:stop]
            x = select_samples(data.inputs, chosen)
            targets = {key: target.index_select(0, chosen) for key, target in data.targets.items()}
        yield x, targets


def loaded_items(data: Dataset, indices: Sequence[int], seed: int = 0) -> Batch:
    """The items at `indices`, at least one, as one batch on the host; random ones depend on `seed` alone.

    Raises:
        DataError: an item is not (input, {key: target}), or the items do not make a batch.
    """
    return _LoadedBatches(data, (seed,)).load(0, list(indices))


class _WorkerError:
    """What went wrong in a process that loads, on its way to the main one, which raises it as it was: DataLoader would
    make a new error of its own text and the whole traceback."""

    def __init__(self, error: Exception) -> None:
        self.trace = "".join(traceback.format_exception(error)).rstrip()
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # an error that cannot travel: its words do
            error = RuntimeError(f"{type(error).__name__}: {error}")
        self.error = error


class _WorkerTraceback(Exception):
    """Where it went wrong, in the process that loads."""

    def __str__(self) -> str:
        return f"in a process that loads data\n{self.args[0]}"


class _LoadedBatches(torch.utils.data.Dataset[Batch]):
    """Whole batches as items, each loaded under random numbers of its own."""

    def __init__(self, data: Dataset, seed: tuple[int, ...]) -> None:
        self.data = data
        self.seed = seed
        self.collate = collate_of(data)

    def __getitem__(self, index: tuple[int, list[int]]) -> Batch:
        if torch.utils.data.get_worker_info() is None:
            return self.load(*index)
        try:
            return self.load(*index)
        except Exception as error:
            return cast(Batch, _WorkerError(error))

    def load(self, position: int, indices: list[int]) -> Batch:
        """The items at `indices`, as the batch of this number in the epoch."""
        before = random.getstate(), np.random.get_state()  # noqa: NPY002 (what user code may draw from)
        drawn = np.random.SeedSequence((*self.seed, position)).generate_state(3)
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(drawn[0]))
                np.random.seed(drawn[1])  # noqa: NPY002
                random.seed(int(drawn[2]))
                return self._collated([self.data[i] for i in indices], indices)
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002

    def _collated(self, items: list[Any], rows: Sequence[int]) -> Batch:
        if self.collate is not None:
            try:
                return checked_batch(self.collate(items), rows, _name_of(self.collate))
            except ItemFault as fault:
                raise DataError(f"row {rows[fault.position]}: {fault.words}") from fault
        first = items[0]
        if not (isinstance(first, tuple | list) and len(first) == 2 and isinstance(first[1], Mapping)):
            raise DataError(
                f"items of {type(self.data).__name__} must be (input, {{target key: target}}), "
                f"but item {rows[0]} is {_describe(first)}"
            )
        return stacked([x for x, _ in items], rows), stacked_targets(items)


def _name_of(collate: Any) -> str:
    """What a collate function is called in messages."""
    function = getattr(type(collate), "function", collate)
    name = getattr(function, "__name__", type(collate).__name__)
    return f"the collate function {name}"


def _describe(item: object) -> str:
    if isinstance(item, tuple | list):
        return f"a {type(item).__name__} of " + ", ".join(type(part).__name__ for part in item)
    return f"a {type(item).__name__}"


def arranged(x: Tree, memory_format: torch.memory_format) -> Tree:
    """A batch in a memory order; tensors of it that are no images (b, c, h, w) come back as they are.

    With one channel both orders are the same memory, and torch would take such a batch for a contiguous one; its
    strides are then written out as channels last, so that the whole network runs in that order.
    """
    if not isinstance(x, Tensor):
        return mapped(partial(arranged, memory_format=memory_format), x)
    if x.dim() != 4:
        return x
    x = x.contiguous(memory_format=memory_format)
    if memory_format is torch.channels_last and x.shape[1] == 1:
        _, _, height, width = x.shape
        return x.as_strided(x.shape, (height * width, 1, width, 1))
    return x
