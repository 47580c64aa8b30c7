"""Joined inputs: whatever a network does with them, the result is that of the concatenation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moframework.layers.shared_concat import Joined

ORDERS = [torch.contiguous_format, torch.channels_last]


def images(order: torch.memory_format = torch.contiguous_format) -> tuple[Tensor, Tensor]:
    return torch.randn(4, 3, 6, 6).contiguous(memory_format=order), torch.randn(1, 2, 6, 6, requires_grad=True)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "convolution": lambda: nn.Conv2d(5, 4, 3, stride=2, padding=1),
    "dilated, no bias": lambda: nn.Conv2d(5, 4, 2, dilation=2, bias=False),
    "groups": lambda: nn.Conv2d(5, 10, 3, groups=5),
    "reflected": lambda: nn.Conv2d(5, 4, 3, padding=1, padding_mode="reflect"),
    "pooled first": lambda: nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(5, 2, 1)),
    "flattened": lambda: nn.Sequential(nn.Flatten(), nn.Linear(180, 3)),
    "normalized": lambda: nn.Sequential(nn.BatchNorm2d(5), nn.Conv2d(5, 2, 3)),
}


@pytest.mark.parametrize("order", ORDERS, ids=["contiguous", "channels last"])
@pytest.mark.parametrize("name", NETWORKS)
def test_images(name: str, order: torch.memory_format) -> None:
    own, shared = images(order)
    network = NETWORKS[name]()
    found = network(Joined(own, shared))
    (first,) = torch.autograd.grad(found.sin().sum(), shared)
    expected = network(torch.cat([own, shared.expand(4, -1, -1, -1)], dim=1))
    (second,) = torch.autograd.grad(expected.sin().sum(), shared)
    assert type(found) is Tensor
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)
    assert torch.equal(Joined(own, shared).whole(), torch.cat([own, shared.expand(4, -1, -1, -1)], dim=1))
    assert Joined(own, shared).whole().is_contiguous(memory_format=order)


@pytest.mark.parametrize("network", [nn.Linear(7, 3), nn.Sequential(nn.Flatten(), nn.Linear(7, 3, bias=False))])
def test_vectors(network: nn.Module) -> None:
    own, shared = torch.randn(4, 5), torch.randn(1, 2)
    torch.testing.assert_close(network(Joined(own, shared)), network(torch.cat([own, shared.expand(4, -1)], dim=1)))


def test_what_is_known_without_making_it() -> None:
    joined = Joined(*images())
    assert (joined.shape, joined.dim(), joined.size(1), len(joined)) == ((4, 5, 6, 6), 4, 5, 4)
    assert (joined.dtype, joined.device.type, joined.is_floating_point()) == (torch.float32, "cpu", True)


def test_other_operations_see_the_concatenation() -> None:
    own, shared = images()
    joined = Joined(own, shared)
    assert torch.equal(F.relu(joined), F.relu(joined.whole()))
    assert torch.equal(joined + 1, joined.whole() + 1)
    assert torch.equal(torch.cat([joined, joined]), torch.cat([joined.whole()] * 2))
    assert torch.equal(joined.flatten(), joined.whole().flatten())


def test_the_first_layer_never_sees_the_concatenation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Joined, "whole", lambda self: pytest.fail("the whole was made"))
    own, shared = images()
    nn.Conv2d(5, 4, 3)(Joined(own, shared))
    nn.Sequential(nn.Flatten(), nn.Linear(7, 2))(Joined(torch.randn(3, 5), torch.randn(1, 2)))
