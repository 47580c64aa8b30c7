"""DeepLabv3 with a head for each dense output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

import attrs
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import ResNet
from torchvision.models.segmentation.deeplabv3 import ASPP

from moframework.backbones.base import Backbone, Heads
from moframework.backbones.resnet import resnet_encoder
from moframework.backbones.torchvision import check_images, check_pretrained
from moframework.config import config, option
from moframework.config.options import WIDEST

__all__ = ["DeepLabV3"]

_RATES = (12, 24, 36)


@config
class DeepLabV3(Backbone):
    """Dilated ResNet shared by all outputs, then for each output its own pyramid of dilated convolutions, enlarged.

    torchvision's layers (Chen et al., 2017, arXiv 1706.05587): the encoder's features are an eighth of the image in
    height and width; heads look at them with dilations 12, 24 and 36. The network of the dense-prediction experiments
    of Auto-λ (Liu et al., TMLR 2022, arXiv 2202.03091) and, with them, of later work on NYUv2.

    Outputs are (b, size, height, width) at the input's own size, and raw. Training needs batches of two or more: the
    heads normalize a mean over the image.

    >>> import torch
    >>> network = DeepLabV3(depth=18, width=8).build((3, 32, 48), {"segmentation": 7, "depth": 1}).eval()
    >>> {key: tuple(output.shape) for key, output in network(torch.zeros(1, 3, 32, 48)).items()}
    {'segmentation': (1, 7, 32, 48), 'depth': (1, 1, 32, 48)}
    """

    depth: Literal[18, 34, 50, 101, 152] = option(50, help="number of layers with weights of the encoder")
    width: int = option(256, ge=1, le=WIDEST, help="channels of each branch of a head")
    pretrained: str | None = option(
        None, help="torchvision's weights of the encoder by name, such as IMAGENET1K_V1 or DEFAULT"
    )

    def __attrs_post_init__(self) -> None:
        check_pretrained(f"resnet{self.depth}", self.pretrained)

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        """A network for images (channels, height, width)."""
        check_images("deeplabv3", input_shape)
        encoder = resnet_encoder(self.depth, self.pretrained, input_shape)
        width = encoder.fc.in_features
        _dilate(encoder.layer3, 2)
        _dilate(encoder.layer4, 4)
        heads = {key: _head(width, self.width, size) for key, size in outputs.items()}
        return _Dense(_features(encoder), Heads(heads))

    def bare(self) -> Backbone:
        """The same without pretrained weights."""
        made: Backbone = attrs.evolve(cast(Any, self), pretrained=None)
        return made


class _Dense(nn.Module):
    """Features and heads, brought to the size of the input."""

    def __init__(self, encoder: nn.Module, heads: Heads) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = heads

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """{key: (b, size, height, width)} of images (b, channels, height, width)."""
        found = self.heads(self.encoder(x))
        return {
            key: functional.interpolate(value, x.shape[-2:], mode="bilinear", align_corners=False)
            for key, value in found.items()
        }


class _Features(nn.Sequential):
    """A ResNet up to its last stage, its parts under its own names."""


def _features(network: ResNet) -> nn.Module:
    kept = _Features()
    for name, module in network.named_children():
        if name not in ("avgpool", "fc"):
            kept.add_module(name, module)
    return kept


def _dilate(stage: nn.Module, dilation: int) -> None:
    """Kernels further apart in place of a stride of 2: the same receptive fields at twice the resolution.

    The first kernel of 3x3 reads what the stage before has left at half this dilation.
    """
    for module in stage.modules():
        if not isinstance(module, nn.Conv2d):
            continue
        strided = module.stride == (2, 2)
        module.stride = (1, 1)
        if module.kernel_size == (3, 3):
            apart = dilation // 2 if strided else dilation
            module.dilation, module.padding = (apart, apart), (apart, apart)


def _head(before: int, width: int, size: int) -> nn.Sequential:
    """torchvision's `DeepLabHead`, with a width that can be chosen."""
    return nn.Sequential(
        ASPP(before, _RATES, width),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, size, 1),
    )
