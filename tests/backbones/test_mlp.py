"""MLP: the parameter count of the SARCOS experiments, shapes and activations."""

from __future__ import annotations

import pytest
import torch

from moframework.backbones.base import Backbone
from moframework.backbones.mlp import MLP
from moframework.config import build


def test_parameters_are_those_of_the_sarcos_experiments() -> None:
    network = MLP(hidden=(256, 256, 256)).build((21,), {f"torque{i}": 1 for i in range(7)})
    assert sum(p.numel() for p in network.parameters()) == 139_015


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "tanh"])
def test_shapes(activation: str) -> None:
    mlp = build(Backbone, {"name": "mlp", "hidden": [7, 5], "activation": activation})  # type: ignore[type-abstract]
    outputs = mlp.build((3, 2, 2), {"a": 4, "b": 1})(torch.randn(6, 3, 2, 2))
    assert {key: tuple(value.shape) for key, value in outputs.items()} == {"a": (6, 4), "b": (6, 1)}


def test_without_hidden_layers_it_is_linear() -> None:
    network = MLP(hidden=()).build((3,), {"a": 2})
    x, y = torch.randn(4, 3), torch.randn(4, 3)
    middle = (network(x)["a"] + network(y)["a"]) / 2
    torch.testing.assert_close(network((x + y) / 2)["a"], middle)
