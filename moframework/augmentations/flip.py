"""Horizontal flips."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Generator, Tensor

from moframework.augmentations.base import Augmentation, MapKind, Targets, check_maps
from moframework.config import config, option

__all__ = ["Flip"]


@config
class Flip(Augmentation):
    """Mirrors images left to right, each with a probability of its own.

    Maps are mirrored with their image, and the x component of normals changes its sign. Not for images whose meaning
    depends on the side, such as digits.

    >>> x, depth = torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[3.0, 4.0]]])
    >>> x, targets = Flip(probability=1.0).apply(x, {"depth": depth}, {"depth": "depth"}, Generator())
    >>> x.tolist(), targets["depth"].tolist()
    ([[[[2.0, 1.0]]]], [[[4.0, 3.0]]])
    """

    probability: float = option(0.5, ge=0, le=1, help="of each image to be mirrored")

    def apply(
        self, x: Tensor, targets: Targets, maps: Mapping[str, MapKind], generator: Generator
    ) -> tuple[Tensor, Targets]:
        """See `Augmentation.apply`."""
        check_maps(x, targets, maps)
        chosen = (torch.rand(len(x), generator=generator) < self.probability).to(x.device, non_blocking=True)
        changed = dict(targets)
        for key, kind in maps.items():
            if key in changed:
                mirrored = _mirrored(changed[key], chosen)
                changed[key] = _turned(mirrored, chosen) if kind == "normals" else mirrored
        return _mirrored(x, chosen), changed


def _mirrored(images: Tensor, chosen: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, *[1] * (images.dim() - 1)), images.flip(-1), images)


def _turned(normals: Tensor, chosen: Tensor) -> Tensor:
    """Normals (b, 3, h, w) with the sign of x changed where chosen (b,)."""
    sign = torch.ones(len(normals), 3, 1, 1, dtype=normals.dtype, device=normals.device)
    sign[:, 0, 0, 0] = 1 - 2 * chosen.to(normals.dtype)
    return normals * sign
