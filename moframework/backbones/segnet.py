"""SegNet: the encoder-decoder of the literature on multi-task dense prediction."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from moframework.backbones.base import Backbone, Heads, Shared
from moframework.config import config, option
from moframework.errors import SpecError

__all__ = ["SegNet", "SegNetStages", "conv_block", "dense_head", "initialize", "stage_channels"]

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
    """

    width: int = option(64, ge=1, help="channels of the first stage; the others have 2, 4, 8 and 8 times as many")
    stages: int = option(5, ge=1, le=5, help="times the image is halved; sides must be at least 2**stages")

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        """A network for images (channels, height, width)."""
        channels = stage_channels("segnet", input_shape, self.width, self.stages)
        encoder = _EncoderDecoder(SegNetStages(input_shape[0], channels))
        network = Shared(encoder, Heads({key: dense_head(self.width, size) for key, size in outputs.items()}))
        return initialize(network)


class SegNetStages(nn.Module):
    """The convolutions of a SegNet, without what joins them.

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


class _EncoderDecoder(nn.Module):
    """Images (b, channels, height, width) to features (b, width, height, width)."""

    def __init__(self, stages: SegNetStages) -> None:
        super().__init__()
        self.stages = stages

    def forward(self, x: Tensor) -> Tensor:
        """Features at the size of x."""
        taken = []
        for down in self.stages.down:
            x = down(x)
            size = x.shape[-2:]
            x, places = functional.max_pool2d(x, 2, return_indices=True)
            taken.append((places, size))
        for up, (places, size) in zip(reversed(self.stages.up), reversed(taken), strict=True):
            x = up(functional.max_unpool2d(x, places, [2, 2], output_size=size))
        return x


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
