"""Several data sets as one: each sample knows the targets of its own set, and the others are unknown.

Whatever reads data (training, evaluation, processes, checkpoints) then sees one data set in which not every sample has
every label. What is of its own is the order of training: see `moframework.data.composition`.
"""

from __future__ import annotations

import bisect
import functools
import hashlib
import itertools
import math
from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Any, cast

import torch
import torch.utils.data
from attrs import frozen
from torch import Tensor

from moframework.data.collate import Collated, collate_of
from moframework.data.composition import SetBatches, SetEpochs
from moframework.data.dataset import Batch, Dataset, Epochs, TensorData, where
from moframework.data.loader import loaded_items
from moframework.errors import DataError
from moframework.inputs.trees import Tree, mapped, named_leaves, select_samples, tensor_leaves

__all__ = ["Reads", "Unknown", "task_sets"]

Reads = Mapping[str, Mapping[str, str]]
"""By key of a target, as tasks ask for it: in which sets it is, and under which key there."""
Unknown = Callable[[str, Tensor], float]
"""From the key of a target and some of its values (k, ...) to the number that stands for no label: nan, which makes
floats of integers, or a whole number."""


def task_sets(
    sets: Mapping[str, Dataset],
    reads: Reads,
    unknown: Unknown,
    batches: SetBatches | None = None,
    *,
    one_size: bool = True,
) -> Dataset:
    """The samples of several data sets, one set after the other, and the order in which they are trained on.

    Args:
        sets: by name, at least one; each of at least one sample, with inputs of one form.
        reads: which targets the whole has. Of a sample whose set does not have one, it is unknown.
        unknown: what then stands for it; asked once for each target that not all sets have.
        batches: how batches are composed; None: as `SetBatches` says by itself.
        one_size: whether inputs and targets must have one size; not where a collate function makes batches of them.

    Returns:
        a `TensorData` where all sets are in memory and of one size, else a data set that loads the items of its sets.
        One collate function that all sets have is its own.

    Raises:
        DataError: a set has no samples, inputs or targets of the sets do not go together, or their collate functions
            differ; the text names the sets.
        OptionError: `batches` does not fit the sets.

    >>> houses = TensorData(torch.zeros(2, 3), {"price": torch.tensor([1.0, 2.0])})
    >>> flats = TensorData(torch.ones(1, 3), {"rent": torch.tensor([0.5])})
    >>> reads = {"price": {"houses": "price"}, "rent": {"flats": "rent"}}
    >>> data = task_sets({"houses": houses, "flats": flats}, reads, lambda key, target: float("nan"))
    >>> data.targets["rent"].tolist(), data.where(2)
    ([nan, nan, 0.5], "set 'flats', row 0")
    """
    batches = SetBatches() if batches is None else batches
    batches.check(list(sets))
    collate = _one_collate(sets)
    parts = {name: data.data if isinstance(data, Collated) else data for name, data in sets.items()}
    one_size = one_size and collate is None
    examples = {name: _example(data) for name, data in parts.items()}
    _check_inputs({name: x for name, (x, _) in examples.items()}, one_size)
    columns = {
        key: _column(key, own, {name: examples[name][1][k] for name, k in own.items()}, len(parts), unknown, one_size)
        for key, own in reads.items()
    }
    epochs = SetEpochs({name: len(cast(Sized, data)) for name, data in parts.items()}, batches)
    tensors = {name: data for name, data in parts.items() if isinstance(data, TensorData)}
    if len(tensors) == len(parts) and _fit(examples, columns, tensors):
        return _in_memory(tensors, columns, epochs)
    made = _Sets(parts, columns, epochs)
    return made if collate is None else Collated(made, collate)


@frozen(eq=False)
class _Column:
    """One target of the whole: its key in each set that has it, and what a sample of another has."""

    keys: Mapping[str, str]
    dtype: torch.dtype
    blank: Tensor

    def of(self, name: str, targets: Mapping[str, Any]) -> Tensor:
        """That of one sample of a set."""
        if name not in self.keys:
            return self.blank
        return torch.as_tensor(targets[self.keys[name]]).to(self.dtype)

    def whole(self, name: str, targets: Mapping[str, Tensor], size: int, device: torch.device | None = None) -> Tensor:
        """Those of all samples of a set (size, ...)."""
        if name not in self.keys:
            return self.blank.to(device).expand(size, *self.blank.shape)
        return targets[self.keys[name]].to(self.dtype)


class _Sets(torch.utils.data.Dataset[Batch]):
    """Data sets one after the other, whose items are loaded when they are asked for."""

    def __init__(self, sets: Mapping[str, Dataset], columns: Mapping[str, _Column], epochs: Epochs) -> None:
        self.sets, self.columns, self.epochs = dict(sets), dict(columns), epochs
        self._places = _Places(self.sets)

    def __len__(self) -> int:
        return self._places.ends[-1]

    def __getitem__(self, index: int) -> Batch:
        name, row = self._places.of(index)
        item: Any = self.sets[name][row]
        if not (isinstance(item, tuple | list) and len(item) == 2 and isinstance(item[1], Mapping)):
            raise DataError(f"set '{name}': items must be (input, {{target key: target}}), but item {row} is not")
        return item[0], {key: column.of(name, item[1]) for key, column in self.columns.items()}

    def where(self, index: int) -> str:
        """The set of a sample, and where it comes from."""
        return self._places[index]

    @property
    def known_contents(self) -> str | None:
        """A hash of what the sets hold, where each knows its own."""
        return _known(self.sets, self.columns)

    @functools.cached_property
    def targets(self) -> dict[str, Tensor] | None:
        """All targets by key, where each set has its own in memory; else None."""
        parts: list[tuple[str, Any, int]] = [
            (name, getattr(data, "targets", None), len(cast(Sized, data))) for name, data in self.sets.items()
        ]
        for name, known, size in parts:
            wanted = [column.keys[name] for column in self.columns.values() if name in column.keys]
            if not isinstance(known, Mapping) or not all(
                isinstance(known.get(key), Tensor) and len(known[key]) == size for key in wanted
            ):
                return None
        try:
            return {
                key: torch.cat([column.whole(name, known, size) for name, known, size in parts])
                for key, column in self.columns.items()
            }
        except RuntimeError:  # of several sizes
            return None


class _Places:
    """Where samples of several data sets come from, as `TensorData` takes it: the name of the set first."""

    def __init__(self, sets: Mapping[str, Dataset]) -> None:
        self.sets, self.names = dict(sets), tuple(sets)
        self.ends = list(itertools.accumulate(len(cast(Sized, data)) for data in sets.values()))

    def of(self, index: int) -> tuple[str, int]:
        """The set of a sample, and its row there."""
        if not -self.ends[-1] <= index < self.ends[-1]:
            raise IndexError(index)
        index %= self.ends[-1]
        place = bisect.bisect_right(self.ends, index)
        return self.names[place], index - (self.ends[place - 1] if place else 0)

    def __getitem__(self, index: int) -> str:
        name, row = self.of(index)
        own = where(self.sets[name], row)
        return f"set '{name}', row {row}" if own is None else f"set '{name}', {own}"


def _in_memory(sets: Mapping[str, TensorData], columns: Mapping[str, _Column], epochs: Epochs) -> TensorData:
    leaves = [torch.cat(same) for same in zip(*(tensor_leaves(data.inputs) for data in sets.values()), strict=True)]
    rest = iter(leaves)
    return TensorData(
        mapped(lambda _: next(rest), next(iter(sets.values())).inputs),
        {
            key: torch.cat([column.whole(name, data.targets, len(data), data.device) for name, data in sets.items()])
            for key, column in columns.items()
        },
        _known(sets, columns),
        _Places(sets),
        epochs,
    )


def _one_collate(sets: Mapping[str, Dataset]) -> Callable[[Sequence[Any]], Batch] | None:
    """The collate function of all sets, or None where none has one. Raises `DataError` where one has no samples."""
    for name, data in sets.items():
        if len(cast(Sized, data)) == 0:
            raise DataError(f"set '{name}' has no samples")
    found = {name: collate_of(data) for name, data in sets.items()}
    first, one = next(iter(found.items()))
    for name, other in found.items():
        if other != one:
            raise DataError(
                f"sets '{first}' and '{name}' do not have the same collate function, but a batch has samples of all "
                "sets: give one for all with `collate`"
            )
    return one


def _example(data: Dataset) -> Batch:
    """One sample as a batch of one."""
    if isinstance(data, TensorData):
        few = slice(0, 1)
        return select_samples(data.inputs, few), {key: target[few].cpu() for key, target in data.targets.items()}
    return loaded_items(data, [0])


def _check_inputs(inputs: Mapping[str, Tree], one_size: bool) -> None:
    """Raise `DataError` where inputs (1, ...) of two sets are of different forms."""
    first, *others = inputs
    expected = named_leaves(inputs[first])
    for name in others:
        found = named_leaves(inputs[name])
        if found.keys() != expected.keys():
            own, other = (", ".join(leaves) or "none" for leaves in (expected, found))
            raise DataError(f"inputs of set '{first}' have the entries {own}, but those of set '{name}' {other}: {_DO}")
        for path, leaf in expected.items():
            if found[path].dtype != leaf.dtype or not _alike(found[path], leaf, one_size):
                called = f"the input '{path}'" if path else "an input"
                raise DataError(
                    f"{called} of set '{first}' is {_described(leaf)}, but that of set '{name}' "
                    f"{_described(found[path])}: {_DO}"
                )


_DO = (
    "one network reads all sets, so their inputs need one form. Change it in the data (of images `size`), or let a "
    "collate function make batches of inputs of different sizes (`collate`)"
)


def _column(
    key: str, keys: Mapping[str, str], examples: Mapping[str, Tensor], sets: int, unknown: Unknown, one_size: bool
) -> _Column:
    """The target `key`, from one sample (1, ...) of each set that has it."""
    first, *others = examples
    one = examples[first]
    for name in others:
        if not _alike(examples[name], one, one_size):
            raise DataError(
                f"target '{key}' is {_described(one)} in set '{first}', but {_described(examples[name])} in set "
                f"'{name}': give each set a key of its own, or both targets one form"
            )
    dtype = functools.reduce(torch.promote_types, (example.dtype for example in examples.values()))
    if len(examples) == sets:
        return _Column(keys, dtype, one[0].to(dtype))
    number = unknown(key, one.to(dtype))
    if not dtype.is_floating_point:
        dtype = torch.float32 if math.isnan(number) else torch.int64  # images of classes have types without room for it
    return _Column(keys, dtype, torch.full(one.shape[1:], number, dtype=dtype))


def _alike(one: Tensor, other: Tensor, one_size: bool) -> bool:
    return one.shape == other.shape if one_size else one.dim() == other.dim()


def _described(one: Tensor) -> str:
    return f"{tuple(one.shape[1:])} of {str(one.dtype).removeprefix('torch.')}"


def _fit(examples: Mapping[str, Batch], columns: Mapping[str, _Column], sets: Mapping[str, TensorData]) -> bool:
    """Whether sets in memory can be put together there: one size, one device."""
    inputs = {tuple(leaf.shape for leaf in tensor_leaves(x)) for x, _ in examples.values()}
    targets = [
        examples[name][1][key].shape[1:] == column.blank.shape
        for column in columns.values()
        for name, key in column.keys.items()
    ]
    return len(inputs) == 1 and all(targets) and len({data.device for data in sets.values()}) == 1


def _known(sets: Mapping[str, Dataset], columns: Mapping[str, _Column]) -> str | None:
    """A hash of what the sets hold, from what each knows of itself; None where one does not."""
    digest = hashlib.blake2b(digest_size=8)
    for name, data in sets.items():
        known = getattr(data, "known_contents", None)
        if known is None:
            return None
        digest.update(f"{name}:{len(cast(Sized, data))}:{known}\n".encode())
    for key, column in sorted(columns.items()):
        digest.update(f"{key}:{sorted(column.keys.items())}:{column.dtype}:{column.blank.tolist()}\n".encode())
    return digest.hexdigest()
