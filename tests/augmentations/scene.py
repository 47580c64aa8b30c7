"""A tilted plane under a pinhole camera: images, classes, depth and normals whose changes are known in closed form."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from moframework.augmentations import MapKind

MAPS: dict[str, MapKind] = {"class": "classes", "height": "values", "depth": "depth", "normal": "normals"}


def batch(count: int = 6, height: int = 8, width: int = 12) -> tuple[Tensor, dict[str, Tensor]]:
    """Images whose first channel is the pixel's column and whose second is its row, and maps of every kind."""
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    x = torch.stack([columns, rows, columns * rows]).expand(count, -1, -1, -1).clone()
    normal = torch.stack([0.6 * torch.ones(height, width), torch.zeros(height, width), 0.8 * torch.ones(height, width)])
    targets = {
        "class": (columns.long() + 100 * rows.long()).expand(count, -1, -1).clone(),
        "height": rows.expand(count, 1, -1, -1).clone(),
        "depth": (columns + 1).expand(count, 1, -1, -1).clone(),
        "normal": normal.expand(count, -1, -1, -1).clone(),
        "digit": torch.arange(count),
    }
    return x, targets


def generator(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)
