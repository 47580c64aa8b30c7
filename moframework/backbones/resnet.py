"""ResNet, as torchvision has it, for large and for small images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

import attrs
from torch import nn
from torchvision.models import ResNet as TorchvisionResNet

from moframework.backbones.base import Backbone, Shared, linear_heads
from moframework.backbones.torchvision import check_images, check_pretrained, made_by_torchvision
from moframework.config import config, option
from moframework.config.options import WIDEST, OptionError

__all__ = ["ResNet", "resnet_encoder"]


@config
class ResNet(Backbone):
    """Residual network of 18 to 152 layers shared by all outputs, then a linear layer an output.

    torchvision's layers under torchvision's names (He et al., CVPR 2016, arXiv 1512.03385). `stem: small`, a
    convolution of 3x3 in place of one of 7x7 with stride 2 and pooling, keeps small images from vanishing: 64x64
    arrive at the last layer as 8x8 instead of 2x2. With it and `pool: 2`, ResNet-18 is the network of PaMaL's and
    PaLoRA's UTKFace experiments, 11,185,224 parameters for three outputs of 1, 2 and 5 numbers, after Sener and
    Koltun (NeurIPS 2018).

    >>> network = ResNet(stem="small", pool=2).build((3, 64, 64), {"age": 1, "gender": 2, "ethnicity": 5})
    >>> sum(p.numel() for p in network.parameters())
    11185224
    """

    depth: Literal[18, 34, 50, 101, 152] = option(18, help="number of layers with weights")
    stem: Literal["image", "small"] = option(
        "image", help="image: 7x7 with stride 2 and pooling; small: 3x3 with stride 1, without pooling"
    )
    pool: int = option(
        1, ge=1, le=1000, help="features are averaged to pool x pool places, all of which the outputs read"
    )
    pretrained: str | None = option(None, help="torchvision's weights by name, such as IMAGENET1K_V1 or DEFAULT")
    hidden: tuple[int, ...] = option((), ge=1, le=WIDEST, help="widths of the hidden layers of each output")

    def __attrs_post_init__(self) -> None:
        check_pretrained(f"resnet{self.depth}", self.pretrained)
        if self.pretrained is not None and self.stem == "small":
            raise OptionError("torchvision's weights are for `stem: image`", "pretrained")

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        """A network for images (channels, height, width) of any size."""
        check_images("resnet", input_shape)
        encoder = resnet_encoder(self.depth, self.pretrained, input_shape)
        width = encoder.fc.in_features * self.pool**2
        encoder.fc = nn.Identity()
        encoder.avgpool = nn.AdaptiveAvgPool2d(self.pool)
        if self.stem == "small":
            encoder.conv1 = nn.Conv2d(input_shape[0], encoder.conv1.out_channels, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(encoder.conv1.weight, mode="fan_out", nonlinearity="relu")
            encoder.maxpool = nn.Identity()
        return Shared(encoder, linear_heads(width, self.hidden, outputs))

    def bare(self) -> Backbone:
        """The same without pretrained weights."""
        made: Backbone = attrs.evolve(cast(Any, self), pretrained=None)
        return made


def resnet_encoder(depth: int, pretrained: str | None, input_shape: tuple[int, ...]) -> TorchvisionResNet:
    """torchvision's ResNet with its classifier; see `made_by_torchvision`."""
    network = made_by_torchvision(f"resnet{depth}", pretrained, input_shape)
    assert isinstance(network, TorchvisionResNet)
    return network
