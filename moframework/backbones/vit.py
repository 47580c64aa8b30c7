"""Vision transformer of any size."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn
from torchvision.models import VisionTransformer

from moframework.backbones.base import Backbone, Shared, linear_heads
from moframework.backbones.torchvision import check_images, read_channels
from moframework.config import config, option
from moframework.config.options import WIDEST, OptionError
from moframework.errors import SpecError

__all__ = ["ViT"]


@config
class ViT(Backbone):
    """Vision transformer shared by all outputs, then a linear layer an output on its class token.

    torchvision's (Dosovitskiy et al., ICLR 2021, arXiv 2010.11929), for square images with any number of channels. The
    defaults are those of ViT-Ti (Touvron et al., ICML 2021, arXiv 2012.12877), with patches for small images; weights
    for ImageNet come with `{name: torchvision, model: vit_b_16}`.

    >>> import torch
    >>> network = ViT(patch=4, width=24, depth=2).build((1, 28, 28), {"left": 10, "right": 10})
    >>> {key: tuple(output.shape) for key, output in network(torch.zeros(2, 1, 28, 28)).items()}
    {'left': (2, 10), 'right': (2, 10)}
    """

    patch: int = option(
        4, ge=1, le=10_000, help="height and width of the patches; the image's sides must be a multiple"
    )
    width: int = option(192, ge=1, le=WIDEST, help="length of a patch's vector, a multiple of heads")
    depth: int = option(12, ge=1, le=1000, help="number of layers")
    heads: int = option(3, ge=1, le=WIDEST, help="attention heads of each layer")
    mlp: int = option(4, ge=1, le=WIDEST, help="width of a layer's hidden units over that of a patch's vector")
    dropout: float = option(0.0, ge=0, lt=1, help="share of values set to zero in training, after each sublayer")
    hidden: tuple[int, ...] = option((), ge=1, le=WIDEST, help="widths of the hidden layers of each output")

    def __attrs_post_init__(self) -> None:
        if self.width % self.heads:
            raise OptionError(f"width must be a multiple of heads ({self.heads}), but it is {self.width}", "width")

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        """A network for images (channels, side, side)."""
        check_images("vit", input_shape)
        channels, height, width = input_shape
        if height != width or height % self.patch:
            raise SpecError(
                f"backbone vit needs square images with sides of a multiple of its patch of {self.patch}, but they are "
                f"{height}x{width}"
            )
        network = VisionTransformer(
            image_size=height,
            patch_size=self.patch,
            num_layers=self.depth,
            num_heads=self.heads,
            hidden_dim=self.width,
            mlp_dim=self.mlp * self.width,
            dropout=self.dropout,
        )
        network.heads = nn.Identity()
        read_channels(network, channels, pretrained=False)
        return Shared(network, linear_heads(self.width, self.hidden, outputs))
