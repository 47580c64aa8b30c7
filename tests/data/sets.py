"""Small data sets: tensors, items made when asked for, images, and one of a wrong form."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moframework.data import (
    TensorData,
)


def numbers(n: int = 10) -> TensorData:
    return TensorData(torch.arange(n * 3.0).reshape(n, 3), {"class": torch.arange(n), "twice": 2.0 * torch.arange(n)})


class Items(torch.utils.data.Dataset[Any]):
    """A data set that is no tensor: items are made when asked for, with noise from every source of random numbers."""

    def __init__(self, n: int = 10, noise: float = 0.0) -> None:
        self.n = n
        self.noise = noise
        self.asked: list[int] = []

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Any]]:
        self.asked.append(index)
        noise = torch.tensor([float(torch.rand(())), np.random.rand(), random.random()])  # noqa: NPY002
        return torch.arange(3.0) + 3 * index + self.noise * noise, {"class": index, "twice": torch.tensor(2.0 * index)}


class Pictures(torch.utils.data.Dataset[Any]):
    """Images of 8 bits, made when asked for."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, int]]:
        return self.pixels[index], {"y": index}


class Wrong(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        return torch.zeros(2), torch.zeros(())
