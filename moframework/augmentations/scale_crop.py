"""Random zooms."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Generator, Tensor
from torch.nn import functional

from moframework.augmentations.base import Augmentation, MapKind, Targets, check_maps
from moframework.config import config, option

__all__ = ["ScaleCrop"]


@config
class ScaleCrop(Augmentation):
    """Enlarges images by a random factor and cuts out a piece of the old size, a different one for each image.

    As MTAN and what follows it do with CityScapes and NYUv2: images, normals and values are interpolated, classes and
    depth take the nearest pixel, and depth is divided by the factor, since what is larger is nearer.

    >>> x, depth = torch.ones(1, 3, 4, 4), torch.full((1, 4, 4), 6.0)
    >>> _, targets = ScaleCrop(scales=(1.5,)).apply(x, {"depth": depth}, {"depth": "depth"}, Generator().manual_seed(0))
    >>> targets["depth"].unique()  # nearer by the factor
    tensor([4.])
    """

    scales: tuple[float, ...] = option(
        (1.0, 1.2, 1.5), ge=1, help="factors, equally likely; 1 leaves the image as it is"
    )

    def apply(
        self, x: Tensor, targets: Targets, maps: Mapping[str, MapKind], generator: Generator
    ) -> tuple[Tensor, Targets]:
        """See `Augmentation.apply`."""
        check_maps(x, targets, maps)
        chosen = torch.tensor(self.scales)[torch.randint(len(self.scales), (len(x),), generator=generator)]
        place = (2 * torch.rand(len(x), 2, generator=generator) - 1) * (1 - 1 / chosen)[:, None]
        # From the new image's coordinates to the old one's: shrunk, then moved to the piece that is cut out.
        transform = torch.cat([torch.eye(2) / chosen[:, None, None], place[:, :, None]], dim=2)
        grid = functional.affine_grid(
            transform.to(x.device, non_blocking=True), [len(x), 1, *x.shape[-2:]], align_corners=False
        )
        scales = chosen.to(x.device, non_blocking=True)
        changed = dict(targets)
        for key, kind in maps.items():
            if key in changed:
                changed[key] = _sampled(changed[key], grid, nearest=kind in ("classes", "depth"))
                if kind == "depth":
                    changed[key] = changed[key] / scales.to(changed[key]).view(-1, *[1] * (changed[key].dim() - 1))
        return _sampled(x, grid, nearest=False), changed


def _sampled(images: Tensor, grid: Tensor, *, nearest: bool) -> Tensor:
    """Images (b, ..., h, w) at the points of a grid (b, h, w, 2), in their own type."""
    flat = images.view(len(images), -1, *images.shape[-2:])
    values = flat if flat.is_floating_point() else flat.float()  # exact for classes
    mode = "nearest" if nearest else "bilinear"
    sampled = functional.grid_sample(
        values, grid.to(values.dtype), mode=mode, padding_mode="border", align_corners=False
    )
    return sampled.to(images.dtype).view(images.shape)
