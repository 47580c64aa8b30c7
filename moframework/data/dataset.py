"""Data as the engine sees it: samples of inputs and named targets, in memory or loaded when asked for."""

from __future__ import annotations

import bisect
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
import torch.utils.data
from torch import Tensor

from moframework.config import Component
from moframework.data.splitting import Split
from moframework.inputs.form import InputShape
from moframework.inputs.trees import Tree, count_samples, device_of, mapped, named_leaves, select_samples, tensor_leaves

__all__ = ["Batch", "DataSource", "Dataset", "Epochs", "Origins", "TensorData", "where"]

Batch = tuple[Tree, dict[str, Tensor]]
Dataset = torch.utils.data.Dataset[Batch]
"""A map-style data set whose items are (input, {target key: target}), without the batch dimension. An input is a
tensor, or a dict, tuple or dataclass of tensors, nested too. One that is a tensor of 8-bit unsigned integers is an
image, and so is a tensor (height, width) or (channels, height, width) of these inside others: batches of images are
float32 in [0, 1]."""


class Origins(Protocol):
    """Where the samples of a data set come from: a list of texts will do."""

    def __getitem__(self, index: int, /) -> str:
        """Where sample `index` comes from, for messages: "houses.csv, line 7"."""
        ...


class Epochs(Protocol):
    """What an epoch of a data set is, and in which order its samples come, where a training is not to see each once in
    an order of chance. A data set has it as its attribute `epochs`; see `moframework.data.ordering`."""

    def size(self, batch_size: int, /) -> int:
        """How many samples an epoch has, those that come twice counted twice."""
        ...

    def order(self, batch_size: int, generator: torch.Generator, /) -> Tensor:
        """The samples of an epoch (size,), integers, one batch of `batch_size` after the other."""
        ...


class TensorData(torch.utils.data.Dataset[Batch]):
    """A data set held in memory, on any device. Batches are index selections.

    Args:
        inputs: (n, ...), a tensor or a tree of them (see `moframework.inputs.trees`). Images of 8 bits stay as they
            are, a quarter of the memory, until a batch is made of them.
        targets: by key, each (n, ...), on the same device.
        known_contents: what `moframework.data.fingerprint` says of it, where that is known without looking at each.
        origins: where each sample comes from, in words that messages use: see `where`; None: not known.
        epochs: the order of training, where it is to be another than one of chance; None: each sample once an epoch.

    Raises:
        ValueError: a target or a part of the inputs has another number of samples, or lies on another device.

    >>> data = TensorData(torch.zeros(3, 2), {"class": torch.tensor([0, 1, 1])})
    >>> len(data), data[1][1]["class"]
    (3, tensor(1))
    """

    def __init__(
        self,
        inputs: Tree,
        targets: Mapping[str, Tensor],
        known_contents: str | None = None,
        origins: Origins | None = None,
        epochs: Epochs | None = None,
    ) -> None:
        count, device = count_samples(inputs), device_of(inputs)
        parts = {f"inputs '{path}'": leaf for path, leaf in named_leaves(inputs).items() if path}
        for name, part in {**parts, **{f"targets '{key}'": target for key, target in targets.items()}}.items():
            if len(part) != count:
                raise ValueError(f"there are {count} inputs, but {len(part)} {name}")
            if part.device != device:
                raise ValueError(f"inputs are on {device}, but {name} on {part.device}")
        self.inputs = inputs
        self.targets = dict(targets)
        self.known_contents = known_contents
        self.origins = origins
        self.epochs = epochs

    def where(self, index: int) -> str | None:
        """Where a sample comes from, such as its file and line; None where that is not known."""
        return None if self.origins is None else self.origins[index]

    def __len__(self) -> int:
        return count_samples(self.inputs)

    def __getitem__(self, index: int) -> Batch:
        return mapped(lambda leaf: leaf[index], self.inputs), {
            key: target[index] for key, target in self.targets.items()
        }

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return device_of(self.inputs)

    @property
    def nbytes(self) -> int:
        """Memory of all tensors, in bytes."""
        return sum(
            tensor.numel() * tensor.element_size() for tensor in (*tensor_leaves(self.inputs), *self.targets.values())
        )

    def to(self, device: torch.device | str) -> TensorData:
        """The same data on `device`; tensors already there are shared, not copied."""
        targets = {key: target.to(device) for key, target in self.targets.items()}
        inputs = mapped(lambda leaf: leaf.to(device), self.inputs)
        return TensorData(inputs, targets, self.known_contents, self.origins, self.epochs)

    def take(self, indices: Tensor) -> TensorData:
        """The samples at `indices` (k,), integers, in that order; copied. Of these an epoch sees each once."""
        indices = indices.to(self.device)
        return TensorData(
            select_samples(self.inputs, indices),
            {key: target.index_select(0, indices) for key, target in self.targets.items()},
            origins=None if self.origins is None else _Taken(self.origins, indices.tolist()),
        )


class _Taken:
    """Where some samples of a data set come from."""

    def __init__(self, origins: Origins, indices: Sequence[int]) -> None:
        self.origins, self.indices = origins, indices

    def __getitem__(self, index: int) -> str:
        return self.origins[self.indices[index]]


def where(data: Dataset, index: int) -> str | None:
    """Where a sample comes from, in words for a message, such as its file and line: what the data set's own method
    `where(index)` says, if it has one. `torch.utils.data.Subset` and `ConcatDataset` are asked for the data in them.

    >>> where(TensorData(torch.zeros(1, 2), {}, origins=["houses.csv, line 2"]), 0)
    'houses.csv, line 2'
    """
    if isinstance(data, torch.utils.data.Subset):
        return where(data.dataset, int(data.indices[index]))
    if isinstance(data, torch.utils.data.ConcatDataset):
        part = bisect.bisect_right(data.cumulative_sizes, index)
        return where(data.datasets[part], index - (data.cumulative_sizes[part - 1] if part else 0))
    told = getattr(data, "where", None)
    found = told(index) if callable(told) else None
    return None if found is None else str(found)


class DataSource(Component, kind="data"):
    """Where the data of a problem declared in a spec comes from: inputs and targets in three splits.

    >>> from moframework.config import config, option
    >>> @config
    ... class Noise(DataSource):
    ...     "Normal numbers, with their sum as target."
    ...     count: int = option(100, ge=1, help="samples of each split")
    ...     def input_shape(self):
    ...         return (3,)
    ...     def split(self, name):
    ...         inputs = torch.randn(self.count, 3)
    ...         return TensorData(inputs, {"sum": inputs.sum(dim=1)})
    >>> len(Noise(count=5).split("train"))
    5
    """

    @abstractmethod
    def split(self, name: Split) -> Dataset:
        """The samples of `train`, `val` or `test`.

        Raises:
            DataError: the data is missing or not as it should be; the text says what to do.
        """

    def of_file(self, path: Path) -> Dataset | None:
        """All samples of another file, whatever their splits; None where the source does not read files of the kind, or
        samples would depend on what else is in the file. Raises `DataError` as `split` does."""
        return None

    @property
    @abstractmethod
    def input_shape(self) -> InputShape:
        """Shape of one input, without the batch dimension: see `inputs.form.InputShape`. Raises `DataError` as
        `split` does."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth knowing of the data, a sentence each; see `Problem.notes`."""
        return ()
