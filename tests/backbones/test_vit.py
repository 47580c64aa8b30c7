"""Vision transformers: shapes, sizes they cannot take, and torch's faster attention."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call

from moframework.backbones.vit import ViT
from moframework.config.options import OptionError
from moframework.errors import SpecError

SMALL = ViT(patch=4, width=8, depth=2, heads=2, hidden=(4,))


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_shapes(channels: int) -> None:
    outputs = SMALL.build((channels, 12, 12), {"a": 3, "b": 1})(torch.randn(2, channels, 12, 12))
    assert {key: tuple(value.shape) for key, value in outputs.items()} == {"a": (2, 3), "b": (2, 1)}


def test_replaced_parameters_are_used_with_and_without_gradients() -> None:
    """In use, attention takes a path of its own in torch, which must not hold on to the module's own parameters."""
    network, other = SMALL.build((3, 8, 8), {"y": 2}).eval(), SMALL.build((3, 8, 8), {"y": 2}).eval()
    x, theta = torch.randn(2, 3, 8, 8), dict(other.named_parameters())
    with torch.no_grad():
        expected = other(x)["y"]
        torch.testing.assert_close(functional_call(network, theta, (x,))["y"], expected)
        assert not torch.allclose(network(x)["y"], expected)
    torch.testing.assert_close(functional_call(network, theta, (x,))["y"].detach(), expected, rtol=1e-4, atol=1e-5)


def test_what_it_cannot_take() -> None:
    with pytest.raises(SpecError, match="square images with sides of a multiple of its patch of 4, but they are 8x12"):
        SMALL.build((3, 8, 12), {"y": 1})
    with pytest.raises(OptionError, match=r"width must be a multiple of heads \(3\), but it is 8"):
        ViT(width=8)
