"""Multi-layer perceptron."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from torch import nn

from moframework.backbones.base import Backbone, Shared, linear_heads
from moframework.config import config, option
from moframework.config.options import WIDEST

__all__ = ["MLP"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}


@config
class MLP(Backbone):
    """Hidden linear layers shared by all outputs, then one linear layer an output. Inputs of any shape are flattened.

    With `hidden: [256, 256, 256]`, 21 inputs and 7 outputs of 1 it is the network of the SARCOS experiments (139,015
    parameters). Without hidden layers every output is linear in the input.

    >>> network = MLP(hidden=(256, 256, 256)).build((21,), {f"torque{joint}": 1 for joint in range(1, 8)})
    >>> sum(p.numel() for p in network.parameters())
    139015
    """

    hidden: tuple[int, ...] = option((256,), ge=1, le=WIDEST, help="width of each hidden layer")
    activation: Literal["relu", "gelu", "silu", "tanh"] = option("relu", help="after each hidden layer")

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        """A network for inputs of any shape."""
        layers: list[nn.Module] = [nn.Flatten()]
        before = math.prod(input_shape)
        for width in self.hidden:
            layers += [nn.Linear(before, width), _ACTIVATIONS[self.activation]()]
            before = width
        return Shared(nn.Sequential(*layers), linear_heads(before, (), outputs))
