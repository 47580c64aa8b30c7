"""MTAN on SegNet: outputs that choose from shared features by attention."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from moframework.backbones.base import Backbone, Heads
from moframework.backbones.segnet import (
    Level,
    SegNetStages,
    conv_block,
    dense_head,
    initialize,
    stage_channels,
)
from moframework.config import config, option
from moframework.config.options import WIDEST

__all__ = ["SegNetMTAN"]


@config
class SegNetMTAN(Backbone):
    """SegNet whose outputs each weigh its features, at every resolution, by attention of their own.

    The Multi-Task Attention Network (Liu, Johns and Davison, CVPR 2019, arXiv 1803.10704, §3): at each resolution of
    encoder and decoder an output multiplies the shared features by a mask in (0, 1), computed from them and from what
    it kept of the resolution before; what it keeps goes on through a convolution that all outputs share. Parameters:
    41,206,984 on CityScapes (7 classes, depth), 44,229,073 on NYUv2 (13 classes, depth, 3 of normals).

    Outputs are (b, size, height, width) at the input's own size, and raw, as those of `segnet`.

    >>> import torch
    >>> network = SegNetMTAN(width=4, stages=2).build((3, 16, 24), {"segmentation": 7, "depth": 1})
    >>> {key: tuple(output.shape) for key, output in network(torch.zeros(2, 3, 16, 24)).items()}
    {'segmentation': (2, 7, 16, 24), 'depth': (2, 1, 16, 24)}
    """

    width: int = option(
        64, ge=1, le=WIDEST, help="channels of the first stage; the others have 2, 4, 8 and 8 times as many"
    )
    stages: int = option(5, ge=1, le=5, help="times the image is halved; sides must be at least 2**stages")

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        """A network for images (channels, height, width)."""
        channels = stage_channels("segnet_mtan", input_shape, self.width, self.stages)
        heads = {key: _Attention(channels, size) for key, size in outputs.items()}
        return initialize(_Network(_Encoder(input_shape[0], channels), Heads(heads)))


class _Network(nn.Module):
    """Shared features, then for each output its attention."""

    def __init__(self, encoder: _Encoder, heads: Heads) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = heads

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """{key: (b, size, height, width)} of images (b, channels, height, width)."""
        outputs: dict[str, Tensor] = self.heads(self.encoder.stages.levels(x), self.encoder)
        return outputs


class _Encoder(nn.Module):
    """All that the outputs share: SegNet, and the convolutions that what they kept goes through.

    `down[i]` brings it from resolution i to the channels of the next; `up[i]` reads what was kept at the one below.
    """

    def __init__(self, before: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.stages = SegNetStages(before, channels)
        below = (*channels[1:], channels[-1])
        self.down = nn.ModuleList(conv_block(width, after) for width, after in zip(channels, below, strict=True))
        self.up = nn.ModuleList(
            conv_block(width, above) for width, above in zip(channels, _above(channels), strict=True)
        )


class _Attention(nn.Module):
    """One output: a mask for each level of the encoder and of the decoder, and what makes values of the last."""

    def __init__(self, channels: tuple[int, ...], size: int) -> None:
        super().__init__()
        self.down, self.up = nn.ModuleList([_mask(channels[0], channels[0])]), nn.ModuleList()
        for width in channels[1:]:
            self.down.append(_mask(2 * width, width))
        for width, above in zip(channels, _above(channels), strict=True):
            self.up.append(_mask(width + above, above))
        self.head = dense_head(channels[0], size)

    def forward(self, levels: list[Level], shared: _Encoder) -> Tensor:
        """(b, size, height, width)."""
        kept: Tensor | None = None
        for level, mask, join in zip(levels, self.down, shared.down, strict=True):
            seen = level.first if kept is None else torch.cat([level.first, kept], dim=1)
            kept = functional.max_pool2d(join(mask(seen) * level.down), 2)
        assert kept is not None
        for level, mask, join in zip(reversed(levels), reversed(self.up), reversed(shared.up), strict=True):
            enlarged = functional.interpolate(kept, level.up.shape[-2:], mode="bilinear", align_corners=True)
            kept = mask(torch.cat([level.unpooled, join(enlarged)], dim=1)) * level.up
        result: Tensor = self.head(kept)
        return result


def _above(channels: tuple[int, ...]) -> tuple[int, ...]:
    """Channels of the decoder at each resolution."""
    return (channels[0], *channels[:-1])


def _mask(before: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, channels, 1),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, 1),
        nn.BatchNorm2d(channels),
        nn.Sigmoid(),
    )
