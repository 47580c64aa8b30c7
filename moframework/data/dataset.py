"""Data as the engine sees it: samples of one input tensor and named targets, in memory or loaded when asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
import torch.utils.data
from torch import Tensor

from moframework.config import Component
from moframework.data.splitting import Split

__all__ = ["Batch", "DataSource", "Dataset", "TensorData"]

Batch = tuple[Tensor, dict[str, Tensor]]
Dataset = torch.utils.data.Dataset[Batch]
"""A map-style data set whose items are (input, {target key: target}), without the batch dimension. Inputs of 8-bit
unsigned integers are images: batches of them are float32 in [0, 1]."""


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
