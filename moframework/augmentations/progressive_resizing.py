"""Small images at first, whole ones at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import attrs
import torch
from torch import Generator, Tensor
from torch.nn import functional

from moframework.augmentations.base import Augmentation, MapKind, Targets, check_maps
from moframework.config import config, option

__all__ = ["ProgressiveResizing"]


@config
class ProgressiveResizing(Augmentation):
    """Trains on smaller images at first, which costs a fraction of the time, and on whole ones at the end.

    Sides grow in equal steps from `initial` of their size to all of it. Images and values are averaged; classes, depth
    and normals take the nearest pixel, so that what is unknown stays apart and normals keep their length. Depth keeps
    its meters: a smaller image shows the same view (unlike `scale_crop`, which enlarges a piece of it). No random
    numbers are drawn.

    The network must take images of every size, as convolutions do with pixels as outputs or with an average over all
    of them; that is tried before training. The last steps are on whole images, as evaluation is, since a network
    knows things by their size in pixels.

    Source: progressive resizing of fast.ai's entry to DAWNBench (Howard et al., 2018); stages as in EfficientNetV2 (Tan
    and Le, ICML 2021, arXiv 2104.00298, section 4); why to end on the size of the evaluation: FixRes (Touvron et al.,
    NeurIPS 2019, arXiv 1906.06423).

    >>> x = torch.zeros(2, 3, 48, 64)
    >>> part = ProgressiveResizing(initial=0.6)
    >>> [tuple(part.at(done).apply(x, {}, {}, Generator())[0].shape[-2:]) for done in (0, 0.3, 0.5, 0.7)]
    [(32, 40), (32, 48), (40, 56), (48, 64)]
    """

    initial: float = option(0.5, gt=0, le=1, help="size of the sides at the start, as a share of the whole ones")
    until: float = option(0.7, ge=0, lt=1, help="share of the training steps after which images are whole")
    stages: int = option(4, ge=2, le=64, help="sizes that images have one after the other, with the whole one")
    multiple: int = option(
        8,
        ge=1,
        le=4096,
        help="smaller sides are rounded to multiples of this number of pixels, as networks that pool need",
    )

    def at(self, progress: float) -> ProgressiveResizing:
        """The same with the size that images have then as `initial`."""
        smaller = self.stages - 1
        stage = int(progress / self.until * smaller) if progress < self.until else smaller
        scale = self.initial + (1 - self.initial) * stage / smaller if stage < smaller else 1.0
        return self if scale == self.initial else cast(Any, attrs.evolve)(self, initial=scale)

    def apply(
        self, x: Tensor, targets: Targets, maps: Mapping[str, MapKind], generator: Generator
    ) -> tuple[Tensor, Targets]:
        """See `Augmentation.apply`; images are as small as at the start."""
        check_maps(x, targets, maps)
        height, width = (self._rounded(side) for side in x.shape[-2:])
        if (height, width) == x.shape[-2:]:
            return x, targets
        changed = dict(targets)
        for key, kind in maps.items():
            if key in changed:
                resized = _averaged if kind == "values" else _nearest
                changed[key] = resized(changed[key], height, width)
        return _averaged(x, height, width), changed

    def _rounded(self, side: int) -> int:
        """A side as it is now: at least `multiple`, and at most what it is."""
        nearest = round(side * self.initial / self.multiple) * self.multiple
        return side if self.initial == 1 else min(max(nearest, self.multiple), side)


def _averaged(images: Tensor, height: int, width: int) -> Tensor:
    """Images (b, ..., h, w) made smaller, each pixel the mean of those around it, in their own type."""
    flat = images.flatten(1, -3) if images.dim() > 3 else images.unsqueeze(1)
    values = flat if flat.is_floating_point() else flat.float()
    made = functional.interpolate(values, (height, width), mode="bilinear", antialias=True, align_corners=False)
    made = made if flat.is_floating_point() else made.round()
    return made.to(images.dtype).view(*images.shape[:-2], height, width)


def _nearest(images: Tensor, height: int, width: int) -> Tensor:
    """Images (b, ..., h, w) made smaller, each pixel the one that lies at its center."""
    for dim, size in ((-2, height), (-1, width)):
        before = images.shape[dim]
        # In whole numbers: (i + ½) · before / size, rounded down.
        index = (2 * torch.arange(size, device=images.device) + 1) * before // (2 * size)
        images = images.index_select(dim, index)
    return images
