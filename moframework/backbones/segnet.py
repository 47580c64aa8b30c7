"""SegNet: the encoder-decoder of the literature on multi-task dense prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from moframework.backbones.base import Backbone, Heads, Shared
from moframework.config import config, option
from moframework.config.options import WIDEST
from moframework.errors import SpecError

__all__ = ["Level", "SegNet", "SegNetStages", "conv_block", "dense_head", "initialize", "stage_channels"]

_FACTORS = (1, 2, 4, 8, 8)
_CONVOLUTIONS = (2, 2, 3, 3, 3)


@config
class SegNet(Backbone):
    """Encoder and decoder shared by all outputs, then two convolutions an output: a value for each pixel of the input.

    VGG-16's convolutions with BatchNorm, halved five times, and their mirror image, which puts values back where the
    encoder's pooling took them from (Badrinarayanan, Kendall and Cipolla, TPAMI 2017, arXiv 1511.00561). In the form
    of MTAN's multi-task baseline (Liu, Johns and Davison, CVPR 2019, arXiv 1803.10704), which PaMaL and PaLoRA train:
    25,017,672 parameters on CityScapes (7 classes, depth), 25,055,185 on NYUv2 (13 classes, depth, 3 of normals).

    Outputs are (b, size, height, width) at the input's own size, and raw: logits of classes, normals of any length.

    >>> import torch
    >>> network = SegNet(width=4, stages=2).build((3, 16, 24), {"segmentation": 7, "depth": 1})
    >>> {key: tuple(output.shape) for key, output in network(torch.zeros(2, 3, 16, 24)).items()}
    {'segmentation': (2, 7, 16, 24), 'depth': (2, 1, 16, 24)}
    """

    width: int = option(
        64, ge=1, le=WIDEST, help="channels of the first stage; the others have 2, 4, 8 and 8 times as many"
    )
    stages: int = option(5, ge=1, le=5, help="times the image is halved; sides must be at least 2**stages")

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        """A network for images (channels, height, width)."""
        channels = stage_channels("segnet", input_shape, self.width, self.stages)
        encoder = SegNetStages(input_shape[0], channels)
        network = Shared(encoder, Heads({key: dense_head(self.width, size) for key, size in outputs.items()}))
        return initialize(network)


class Level(NamedTuple):
    """Features of one resolution: what MTAN's attention looks at, and what it is put on.

    A tuple, for torch.compile cannot trace how a frozen attrs class sets its fields.
    """

    first: Tensor
    """After the first block of the encoder (b, c, height, width)."""
    down: Tensor
    """After the last block of the encoder (b, c, height, width), to be pooled."""
    unpooled: Tensor
    """What the decoder reads (b, c, height, width)."""
    up: Tensor
    """After the last block of the decoder (b, c', height, width), where c' is c of the resolution above."""


class SegNetStages(nn.Module):
    """Images (b, channels, height, width) to features (b, width, height, width).

    `down[i]` reads the pooled result of `down[i - 1]`; `up[i]` has the resolution of `down[i]` and reads the unpooled
    result of `up[i + 1]`. Each is a first block and the rest, whose results have the same shape.

    Args:
        before: channels of the image.
        channels: of each stage, from the full resolution down.
    """

    def __init__(self, before: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for first, width, count in zip((before, *channels), channels, _CONVOLUTIONS, strict=False):
            self.down.append(_stage(first, width, count))
        for first, width, count in zip(channels, (channels[0], *channels), _CONVOLUTIONS, strict=False):
            self.up.append(_stage(first, width, count))

    def forward(self, x: Tensor) -> Tensor:
        """Features at the size of x."""
        return self.levels(x)[0].up

    def levels(self, x: Tensor) -> list[Level]:
        """All features, from the full resolution down."""
        encoded: list[tuple[Tensor, Tensor, Tensor]] = []
        for stage in self.down:
            first = stage.get_submodule("0")(x)
            down = stage.get_submodule("1")(first)
            x, places = functional.max_pool2d(down, 2, return_indices=True)
            encoded.append((first, down, places))
        found: list[Level] = []
        for up, (first, down, places) in zip(reversed(self.up), reversed(encoded), strict=True):
            unpooled = functional.max_unpool2d(x, places, [2, 2], output_size=down.shape[-2:])
            x = up(unpooled)
            found.insert(0, Level(first, down, unpooled, x))
        return found


def stage_channels(name: str, input_shape: tuple[int, ...], width: int, stages: int) -> tuple[int, ...]:
    """Channels of each stage, for inputs that can be halved so often.

    Raises:
        SpecError: they are no images, or too small; said of the backbone `name`.
    """
    if len(input_shape) != 3:
        raise SpecError(f"backbone {name} needs images (channels, height, width), but inputs are {input_shape}")
    if min(input_shape[1:]) < 2**stages:
        raise SpecError(
            f"images of {input_shape[1]}x{input_shape[2]} are too small for backbone {name} with {stages} stages, "
            f"which needs sides of at least {2**stages}: choose fewer stages"
        )
    return tuple(width * factor for factor in _FACTORS[:stages])


def conv_block(before: int, channels: int) -> nn.Sequential:
    """A convolution of 3x3 that keeps the size, BatchNorm, ReLU."""
    return nn.Sequential(nn.Conv2d(before, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


def dense_head(channels: int, size: int) -> nn.Sequential:
    """From features to `size` values a pixel; nothing between the two convolutions, as in the papers' networks."""
    return nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, size, 1))


def initialize(network: nn.Module) -> nn.Module:
    """The papers' start: Xavier-normal kernels, biases 0, scales 1 and shifts 0 of BatchNorm. Returns the network."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def _stage(before: int, channels: int, count: int) -> nn.Sequential:
    rest = nn.Sequential(*(conv_block(channels, channels) for _ in range(count - 1)))
    return nn.Sequential(conv_block(before, channels), rest)
