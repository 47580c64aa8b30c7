"""Random shifts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Generator, Tensor

from moframework.augmentations.base import Augmentation, MapKind, Targets, check_maps
from moframework.config import config, option

__all__ = ["Crop"]


@config
class Crop(Augmentation):
    """Pads images on all sides and cuts out a piece of the old size, at a random place for each image.

    The usual augmentation of small images to classify. Maps move with their image.

    >>> x = torch.ones(100, 1, 4, 4)
    >>> x, _ = Crop(padding=1).apply(x, {}, {}, Generator().manual_seed(0))
    >>> sorted(set(x.sum(dim=(1, 2, 3)).tolist()))  # shifted along both sides, one or none
    [9.0, 12.0, 16.0]
    """

    padding: int = option(4, ge=1, le=10_000, help="pixels on each side, and so the largest shift")
    fill: Literal["zero", "edge"] = option(
        "zero", help="what comes in: zeros, or copies of the border's pixels, which maps need"
    )

    def apply(
        self, x: Tensor, targets: Targets, maps: Mapping[str, MapKind], generator: Generator
    ) -> tuple[Tensor, Targets]:
        """See `Augmentation.apply`."""
        check_maps(x, targets, maps)
        moved = [key for key in maps if key in targets]
        if moved and self.fill == "zero":
            raise ValueError(f"target '{moved[0]}' is a map, whose border zeros would falsify: choose fill: edge")
        shifts = torch.randint(-self.padding, self.padding + 1, (2, len(x)), generator=generator)
        rows, columns = shifts.to(x.device, non_blocking=True)
        return self._shifted(x, rows, columns), {
            key: self._shifted(target, rows, columns) if key in moved else target for key, target in targets.items()
        }

    def _shifted(self, images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Images (b, ..., h, w), each shifted by its numbers of rows and columns (b,)."""
        flat = images.view(len(images), -1, *images.shape[-2:])
        for shifts, dim in ((rows, 2), (columns, 3)):
            size = flat.shape[dim]
            wanted = torch.arange(size, device=flat.device) + shifts[:, None]
            shape = [len(flat), 1, 1, 1]
            shape[dim] = size
            index = wanted.clamp(0, size - 1).view(shape)
            flat = flat.gather(dim, index.expand(flat.shape))
            if self.fill == "zero":
                flat = flat * (wanted == wanted.clamp(0, size - 1)).view(shape)
        return flat.view(images.shape)
