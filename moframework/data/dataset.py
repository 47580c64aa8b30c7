"""Data as the engine sees it: samples of one input tensor and named targets, in memory or loaded piece by piece."""

from __future__ import annotations

import functools
import random
import zipfile
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt
import torch
import torch.utils.data
from torch import Tensor

from moframework.config import Component, config, option
from moframework.config.options import OptionError
from moframework.errors import DataError, nearest

__all__ = [
    "NPZ",
    "SPLITS",
    "Batch",
    "DataSource",
    "Dataset",
    "Split",
    "TensorData",
    "batches",
    "check_fractions",
    "check_split",
    "gathered",
    "loaded_items",
    "random_split",
]

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Batch = tuple[Tensor, dict[str, Tensor]]
Dataset = torch.utils.data.Dataset[Batch]
"""A map-style data set whose items are (input, {target key: target}), without the batch dimension. Inputs of 8-bit
unsigned integers are images: batches of them are float32 in [0, 1]."""


def check_split(name: str) -> Split:
    """`name` if it is a split.

    Raises:
        ValueError: it is none; the text lists them.
    """
    if name not in SPLITS:
        guess = nearest(name, SPLITS)
        hint = f"; did you mean '{guess}'?" if guess else ""
        raise ValueError(f"there is no split '{name}'; allowed: {', '.join(SPLITS)}{hint}")
    return name


def check_fractions(fractions: tuple[float, float, float]) -> None:
    """Raises `OptionError`, for the option `fractions`, when the shares of train, val and test do not add up to 1."""
    if abs(sum(fractions) - 1) > 1e-6:
        raise OptionError(f"fractions must add up to 1, but add up to {sum(fractions):g}", "fractions")


def random_split(count: int, fractions: tuple[float, float, float], seed: int) -> npt.NDArray[np.int64]:
    """Split of each of `count` rows, dealt out at random: 0 train, 1 val, 2 test; (count,).

    >>> np.bincount(random_split(10, (0.7, 0.1, 0.2), seed=0)).tolist()
    [7, 1, 2]
    """
    first, second = round(count * fractions[0]), round(count * (fractions[0] + fractions[1]))
    membership = np.full(count, 2)
    shuffled = np.random.RandomState(seed).permutation(count)
    membership[shuffled[:first]] = 0
    membership[shuffled[first:second]] = 1
    return membership


class TensorData(torch.utils.data.Dataset[Batch]):
    """A data set held in memory, on any device. Batches are index selections.

    Args:
        inputs: (n, ...). 8-bit unsigned integers are images; they stay as they are, a quarter of the memory, until a
            batch is made of them.
        targets: by key, each (n, ...), on the same device.
        known_contents: what `moframework.data.fingerprint` says of it, where that is known without looking at each.

    Raises:
        ValueError: a target has another number of samples, or lies on another device.

    >>> data = TensorData(torch.zeros(3, 2), {"class": torch.tensor([0, 1, 1])})
    >>> len(data), data[1][1]["class"]
    (3, tensor(1))
    """

    def __init__(self, inputs: Tensor, targets: Mapping[str, Tensor], known_contents: str | None = None) -> None:
        for key, target in targets.items():
            if len(target) != len(inputs):
                raise ValueError(f"there are {len(inputs)} inputs, but {len(target)} targets '{key}'")
            if target.device != inputs.device:
                raise ValueError(f"inputs are on {inputs.device}, but targets '{key}' on {target.device}")
        self.inputs = inputs
        self.targets = dict(targets)
        self.known_contents = known_contents

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> Batch:
        return self.inputs[index], {key: target[index] for key, target in self.targets.items()}

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.inputs.device

    @property
    def nbytes(self) -> int:
        """Memory of all tensors, in bytes."""
        return sum(tensor.numel() * tensor.element_size() for tensor in (self.inputs, *self.targets.values()))

    def to(self, device: torch.device | str) -> TensorData:
        """The same data on `device`; tensors already there are shared, not copied."""
        targets = {key: target.to(device) for key, target in self.targets.items()}
        return TensorData(self.inputs.to(device), targets, self.known_contents)

    def take(self, indices: Tensor) -> TensorData:
        """The samples at `indices` (k,), integers, in that order; copied."""
        indices = indices.to(self.device)
        return TensorData(
            self.inputs.index_select(0, indices),
            {key: target.index_select(0, indices) for key, target in self.targets.items()},
        )


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

    Inputs of 8-bit unsigned integers are taken for images: they travel as they are and become float32 in [0, 1] on the
    device. Transfers to a CUDA device go through pinned memory and do not wait, so that the next batch is selected or
    loaded while the device computes.

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
        DataError: an item is not (input, {key: target}).
    """
    device = torch.device(device)
    for x, targets in _raw(data, batch_size, order, device, workers, skip, drop_last, seed):
        yield _numbers(_sent(x, device)), {key: _sent(target, device) for key, target in targets.items()}


def gathered(data: Dataset, *, workers: int = 0, batch_size: int = 256) -> TensorData:
    """All samples of `data`, each read once, as tensors in memory. Images of 8 bits stay so.

    Args:
        data: any data set that `batches` takes; its items should not be random, since each is drawn only once.
        workers: processes that load.
        batch_size: samples read at a time.

    Raises:
        DataError: an item is not (input, {key: target}).
    """
    if isinstance(data, TensorData):
        return data
    parts = list(_raw(data, batch_size, None, torch.device("cpu"), workers, 0, False, 0))
    targets = {key: torch.cat([targets[key] for _, targets in parts]) for key in parts[0][1]}
    return TensorData(torch.cat([x for x, _ in parts]), targets)


def _raw(
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
        yield from _selected(data, batch_size, starts, end, order)
        return
    plan = [
        (position, list(range(start, stop)) if order is None else order[start:stop].tolist())
        for position, start in enumerate(starts, start=skip)
        for stop in [min(start + batch_size, end)]
    ]
    loader: torch.utils.data.DataLoader[Batch] = torch.utils.data.DataLoader(
        _Loaded(data, (seed,) if isinstance(seed, int) else tuple(seed)),
        batch_size=None,
        sampler=cast(Any, plan),
        num_workers=workers,
        pin_memory=device.type == "cuda",
        # DataLoader draws its workers' base seed from here, not from the caller's generator.
        generator=torch.Generator().manual_seed(0),
    )
    yield from loader


def _numbers(x: Tensor) -> Tensor:
    """Images of 8 bits as float32 in [0, 1]; anything else as it is."""
    return x.float().div_(255) if x.dtype == torch.uint8 else x


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor` on `device`, without waiting for the transfer where that is possible."""
    if device.type == "cuda" and tensor.device.type == "cpu" and not tensor.is_pinned():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def _selected(data: TensorData, batch_size: int, starts: range, end: int, order: Tensor | None) -> Iterator[Batch]:
    if order is not None:
        order = order.to(data.device)
    for start in starts:
        stop = min(start + batch_size, end)
        if order is None:
            x = data.inputs[start:stop]
            targets = {key: target[start:stop] for key, target in data.targets.items()}
        else:
            chosen = order[start:stop]
            x = data.inputs.index_select(0, chosen)
            targets = {key: target.index_select(0, chosen) for key, target in data.targets.items()}
        yield x, targets


def loaded_items(data: Dataset, indices: Sequence[int], seed: int = 0) -> Batch:
    """The items at `indices`, at least one, as one batch on the host; random ones depend on `seed` alone.

    Raises:
        DataError: an item is not (input, {key: target}).
    """
    return _Loaded(data, (seed,))[0, list(indices)]


class _Loaded(torch.utils.data.Dataset[Batch]):
    """Whole batches as items, each loaded under random numbers of its own."""

    def __init__(self, data: Dataset, seed: tuple[int, ...]) -> None:
        self.data = data
        self.seed = seed

    def __getitem__(self, index: tuple[int, list[int]]) -> Batch:
        position, indices = index
        before = random.getstate(), np.random.get_state()  # noqa: NPY002 (what user code may draw from)
        drawn = np.random.SeedSequence((*self.seed, position)).generate_state(3)
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(drawn[0]))
                np.random.seed(drawn[1])  # noqa: NPY002
                random.seed(int(drawn[2]))
                items = [self.data[i] for i in indices]
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002
        first = items[0]
        if not (isinstance(first, tuple | list) and len(first) == 2 and isinstance(first[1], Mapping)):
            raise DataError(
                f"items of {type(self.data).__name__} must be (input, {{target key: target}}), "
                f"but item {indices[0]} is {_described(first)}"
            )
        return cast(Batch, tuple(torch.utils.data.default_collate(items)))


def _described(item: object) -> str:
    if isinstance(item, tuple | list):
        return f"a {type(item).__name__} of " + ", ".join(type(part).__name__ for part in item)
    return f"a {type(item).__name__}"


class DataSource(Component, kind="data"):
    """Where the data of a problem declared in a spec comes from: inputs and targets in three splits."""

    @abstractmethod
    def split(self, name: Split) -> Dataset:
        """The samples of `train`, `val` or `test`.

        Raises:
            DataError: the data is missing or not as it should be; the text says what to do.
        """

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch dimension. Raises `DataError` as `split` does."""


@config
class NPZ(DataSource):
    """Arrays in a numpy .npz file: `inputs` (n, ...), and each target under its key (n, ...).

    Floating-point arrays are read as float32 and must be finite; integers and booleans as int64, for classes; inputs of
    8-bit unsigned integers are images, whose batches are float32 in [0, 1]. An array `split` (n,) with 0, 1 or 2 puts a
    sample into train, val or test; without it the samples are dealt out at random by `fractions`. Pickled objects are
    refused.
    """

    path: Path = option(help="the file")
    fractions: tuple[float, float, float] = option(
        (0.7, 0.1, 0.2), ge=0, help="shares of train, val and test, where the file has no array `split`"
    )
    seed: int = option(0, ge=0, lt=2**32, help="of the random split, where the file has no array `split`")

    def __attrs_post_init__(self) -> None:
        check_fractions(self.fractions)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self._arrays()["inputs"].shape[1:])

    def split(self, name: Split) -> TensorData:
        """The samples of one split, in the order of the file."""
        arrays = self._arrays()
        chosen = np.flatnonzero(self._membership(arrays) == SPLITS.index(check_split(name)))
        if not len(chosen):
            raise DataError(
                f"{self.path} has no samples for '{name}': change the array `split` or the option `fractions`"
            )
        given = arrays["inputs"][chosen]
        inputs = torch.from_numpy(given) if given.dtype == np.uint8 else _tensor(given).float()
        targets = {k: _tensor(v[chosen]) for k, v in arrays.items() if k not in ("inputs", "split")}
        return TensorData(inputs, targets)

    def _membership(self, arrays: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        count = len(arrays["inputs"])
        if "split" in arrays:
            return arrays["split"]
        return random_split(count, self.fractions, self.seed)

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        try:
            status = self.path.stat()
        except OSError as error:
            raise DataError(f"the data file {self.path} cannot be read: {error.strerror}") from error
        return _read_npz(self.path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=1)
def _read_npz(path: Path, changed: int, size: int) -> dict[str, npt.NDArray[Any]]:
    """All arrays, checked. Kept until another file is read, or this one has changed."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise DataError(f"{path} holds a single array; write it with numpy.savez(path, inputs=…, target=…)")
        with loaded as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a .npz file of plain arrays: {error}") from error
    if "inputs" not in arrays or len(arrays) == 1 + ("split" in arrays):
        raise DataError(
            f"{path} must hold an array `inputs` and at least one target, but holds {', '.join(arrays) or 'nothing'}"
        )
    for key, array in arrays.items():
        if array.ndim == 0 or len(array) != len(arrays["inputs"]):
            raise DataError(f"{path}: `inputs` is {arrays['inputs'].shape}, but `{key}` is {array.shape}")
        if array.dtype.kind not in "fiub":
            raise DataError(f"{path}: `{key}` has type {array.dtype}; numbers are needed")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            row = np.argwhere(~np.isfinite(array))[0]
            raise DataError(f"{path}: `{key}` is not finite, first at {tuple(int(i) for i in row)}")
    if "split" in arrays and not (arrays["split"].ndim == 1 and np.isin(arrays["split"], (0, 1, 2)).all()):
        raise DataError(f"{path}: `split` must hold 0 (train), 1 (val) or 2 (test) for each sample")
    return arrays


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    """Floats as float32, integers and booleans as int64."""
    if array.dtype.kind == "f":
        return torch.from_numpy(array.astype(np.float32))
    return torch.from_numpy(array.astype(np.int64))
