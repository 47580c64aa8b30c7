"""Shared concatenations: whatever a network does with one, the result is that of the concatenation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moframework.layers.shared_concat import SharedConcat, concatenated, shared_concat

ORDERS = [torch.contiguous_format, torch.channels_last]


def images(order: torch.memory_format = torch.contiguous_format) -> tuple[Tensor, Tensor]:
    own = torch.randn(4, 3, 6, 6).contiguous(memory_format=order).requires_grad_()
    return own, torch.randn(1, 2, 6, 6, requires_grad=True)


class Kept(torch.autograd.Function):
    """Doubles, below torch's Python functions."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return 2 * gradient


class Doubling(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = Kept.apply(x)
        return result


class Standardized(nn.Module):
    """Changes its input in place, and reads it again."""

    def forward(self, x: Tensor) -> Tensor:
        x.sub_(0.5).div_(0.25)
        return x


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "convolution": lambda: nn.Conv2d(5, 4, 3, stride=2, padding=1),
    "convolution by name": lambda: nn.Conv2d(5, 4, 3, padding="same"),
    "dilated, no bias": lambda: nn.Conv2d(5, 4, 2, dilation=2, bias=False),
    "groups": lambda: nn.Conv2d(5, 10, 3, groups=5),
    "reflected": lambda: nn.Conv2d(5, 4, 3, padding=1, padding_mode="reflect"),
    "along the last dimension": lambda: nn.Linear(6, 3),
    "pooled first": lambda: nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(5, 2, 1)),
    "flattened": lambda: nn.Sequential(nn.Flatten(), nn.Linear(180, 3)),
    "normalized": lambda: nn.Sequential(nn.BatchNorm2d(5), nn.Conv2d(5, 2, 3)),
    "a Function first": lambda: nn.Sequential(Doubling(), nn.Conv2d(5, 2, 3)),
    "changed in place": lambda: nn.Sequential(Standardized(), nn.Conv2d(5, 2, 3)),
}


@pytest.mark.parametrize("order", ORDERS, ids=["contiguous", "channels last"])
@pytest.mark.parametrize("name", NETWORKS)
def test_images(name: str, order: torch.memory_format) -> None:
    own, shared = images(order)
    network = NETWORKS[name]()
    leaves = [own, shared, *network.parameters()]
    found = network(shared_concat(own, shared))
    first = torch.autograd.grad(found.sin().sum(), leaves)
    expected = network(torch.cat([own, shared.expand(4, -1, -1, -1)], dim=1))
    second = torch.autograd.grad(expected.sin().sum(), leaves)
    assert type(found) is Tensor
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("order", ORDERS, ids=["contiguous", "channels last"])
def test_the_concatenation_has_the_memory_order_of_the_samples(order: torch.memory_format) -> None:
    own, shared = images(order)
    whole = SharedConcat(own, shared).materialize()
    assert torch.equal(whole, torch.cat([own, shared.expand(4, -1, -1, -1)], dim=1))
    assert whole.is_contiguous(memory_format=order)
    assert torch.equal(whole, concatenated(own, shared))


@pytest.mark.parametrize("network", [nn.Linear(7, 3), nn.Sequential(nn.Flatten(), nn.Linear(7, 3, bias=False))])
def test_vectors(network: nn.Module) -> None:
    own, shared = torch.randn(4, 5), torch.randn(1, 2, requires_grad=True)
    found, expected = network(shared_concat(own, shared)), network(torch.cat([own, shared.expand(4, -1)], dim=1))
    torch.testing.assert_close(found, expected)
    leaves = [shared, *network.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad(found.sin().sum(), leaves), torch.autograd.grad(expected.sin().sum(), leaves)
    )


def test_gradients_of_gradients() -> None:
    own, shared = (value.detach().double().requires_grad_() for value in images())
    weight, bias = (torch.randn(*size, dtype=torch.float64, requires_grad=True) for size in ((2, 5, 3, 3), (2,)))
    inputs = [own[:1, :, :4, :4], shared[:, :, :4, :4], weight, bias]
    layer = lambda own, shared, *others: F.conv2d(shared_concat(own, shared), *others)  # noqa: E731
    given = [value.detach().requires_grad_() for value in inputs]
    assert torch.autograd.gradcheck(layer, given)
    assert torch.autograd.gradgradcheck(layer, given)


def test_several_kernels_at_once() -> None:
    own, shared = images()
    kernels = torch.randn(3, 2, 5, 3, 3)
    before = shared_concat(own, shared)
    expected = torch.stack([F.conv2d(concatenated(own, shared), kernel) for kernel in kernels])
    for lazy in (lambda: before, lambda: shared_concat(own, shared)):
        found = torch.func.vmap(lambda kernel: F.conv2d(lazy(), kernel))(kernels)  # noqa: B023 (called at once)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_what_is_known_without_making_it() -> None:
    lazy = SharedConcat(*images())
    assert (lazy.shape, lazy.dim(), lazy.size(1), len(lazy)) == ((4, 5, 6, 6), 4, 5, 4)
    assert (lazy.dtype, lazy.device.type, lazy.is_floating_point()) == (torch.float32, "cpu", True)


def test_other_operations_see_the_concatenation() -> None:
    own, shared = images()
    lazy, whole = SharedConcat(own, shared), concatenated(own, shared)
    assert torch.equal(F.relu(lazy), F.relu(whole))
    assert torch.equal(lazy + 1, whole + 1)
    assert torch.equal(torch.cat([lazy, lazy]), torch.cat([whole] * 2))
    assert torch.equal(lazy.flatten(), whole.flatten())


def test_the_first_layer_never_sees_the_concatenation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SharedConcat, "materialize", lambda self: pytest.fail("the whole was made"))
    own, shared = images()
    nn.Conv2d(5, 4, 3)(shared_concat(own, shared))
    nn.Sequential(nn.Flatten(), nn.Linear(7, 2))(shared_concat(torch.randn(3, 5), torch.randn(1, 2)))
