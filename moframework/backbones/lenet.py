"""LeNet: the small convolutional network of the MultiMNIST literature."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from torch import nn

from moframework.backbones.base import Backbone, Shared, linear_heads
from moframework.config import config, option
from moframework.config.options import WIDEST
from moframework.errors import SpecError

__all__ = ["LeNet"]


@config
class LeNet(Backbone):
    """Two convolutions with pooling and one linear layer shared by all outputs, then two linear layers an output.

    The form used by Sener and Koltun (NeurIPS 2018) and, with these defaults, by PaMaL and PaLoRA: 27,450 parameters
    for 28×28 images and two outputs of 10 classes, 30,510 for three. Outputs are logits.

    >>> network = LeNet().build((1, 28, 28), {"left": 10, "right": 10})
    >>> sum(p.numel() for p in network.parameters())
    27450
    """

    channels: tuple[int, ...] = option(
        (10, 20), ge=1, le=WIDEST, help="channels of each convolution, pooled by 2 after it"
    )
    kernel: int = option(5, ge=1, le=1000, help="height and width of the kernels")
    hidden: int = option(50, ge=1, le=WIDEST, help="width of the shared features and of each output's hidden layer")

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        """A network for images (channels, height, width)."""
        if len(input_shape) != 3:
            raise SpecError(f"backbone lenet needs images (channels, height, width), but inputs are {input_shape}")
        before, *size = input_shape
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for i, channels in enumerate(self.channels, start=1):
            layers[f"conv{i}"] = nn.Conv2d(before, channels, self.kernel)
            layers[f"pool{i}"] = nn.MaxPool2d(2)
            layers[f"relu{i}"] = nn.ReLU()
            before, size = channels, [(length - self.kernel + 1) // 2 for length in size]
        if min(size) < 1:
            raise SpecError(
                f"images of {input_shape[1]}x{input_shape[2]} are too small for backbone lenet "
                f"with {len(self.channels)} convolutions of kernel {self.kernel}: "
                "choose fewer channels or a smaller kernel"
            )
        layers["flatten"] = nn.Flatten()
        layers["linear"] = nn.Linear(before * size[0] * size[1], self.hidden)
        layers["relu"] = nn.ReLU()
        return Shared(nn.Sequential(layers), linear_heads(self.hidden, (self.hidden,), outputs))
