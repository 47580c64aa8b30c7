"""Layers that apply an adapter to what they read: results and gradients are those of the merged weight."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from moframework.layers.low_rank import Convolution, conv2d, conv2d_pays, linear, linear_pays
from moframework.layers.merge import merged

ORDERS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def kernel_parts(
    shape: tuple[int, int, int, int], chunks: int, order: tuple[int, ...] | None, **kind: torch.dtype
) -> list[Tensor]:
    """W0, B, A and factors of a kernel."""
    out, channels, height, width = shape
    parts = [
        torch.randn(shape, **kind),
        torch.randn(out * chunks, 3, **kind),
        torch.randn(3, channels * height * width // chunks, **kind),
    ]
    return [*(part.requires_grad_() for part in parts), torch.rand(1, 3, **kind)]


CONVOLUTIONS = [
    # kernel, chunks, order, stride, padding, dilation
    ((4, 5, 3, 3), 3, None, (1, 1), (1, 1), (1, 1)),
    ((4, 6, 3, 3), 3, (0, 2, 3, 1), (2, 2), (1, 1), (1, 1)),
    ((4, 5, 3, 3), 1, None, (2, 1), (0, 2), (1, 2)),
    ((4, 3, 1, 1), 1, None, (2, 2), (0, 0), (1, 1)),
    ((2, 3, 2, 3), 2, None, (3, 2), (2, 0), (2, 1)),
    ((2, 3, 2, 3), 2, (0, 2, 3, 1), (1, 3), (0, 1), (1, 1)),
    ((3, 1, 5, 5), 5, None, (1, 1), (2, 2), (1, 1)),
]


@pytest.mark.parametrize("memory", ORDERS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("shape", "chunks", "order", "stride", "padding", "dilation"), CONVOLUTIONS)
def test_a_convolution(shape, chunks, order, stride, padding, dilation, bias: bool, memory: str) -> None:  # type: ignore[no-untyped-def]
    base, b, a, factors = kernel_parts(shape, chunks, order)
    x = torch.randn(2, shape[1], 9, 8).contiguous(memory_format=ORDERS[memory]).requires_grad_()
    shift = torch.randn(shape[0], requires_grad=True) if bias else None
    inputs = [x, base, b, a, *([] if shift is None else [shift])]
    found = conv2d(x, base, shift, b, a, factors.t(), Convolution(stride, padding, dilation), order)
    (weight,) = merged(base, b, a, factors, order)
    expected = F.conv2d(x, weight, shift, stride, padding, dilation)
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(found, expected, **close)
    assert found.is_contiguous(memory_format=ORDERS[memory]) or 1 in x.shape[1:2]
    direction = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, inputs, direction), torch.autograd.grad(expected, inputs, direction), **close
    )


@pytest.mark.parametrize("large", [True, False], ids=["patches kept", "patches made again"])
def test_gradients_are_those_of_finite_differences(large: bool) -> None:
    base, b, a, factors = kernel_parts((40 if large else 2, 2, 3, 3), 3, None, dtype=torch.float64)
    x = torch.randn(1, 2, 4, 3, dtype=torch.float64, requires_grad=True)
    patches = 18 * (2 if large else 12)
    assert (4 * patches <= base.numel()) is large
    how = Convolution((2, 2), (1, 1), (1, 1)) if large else Convolution((1, 1), (1, 1), (1, 1))
    bias = torch.randn(len(base), dtype=torch.float64, requires_grad=True)

    def run(*inputs: Tensor) -> Tensor:
        x, base, bias, b, a = inputs
        return conv2d(x, base, bias, b, a, factors.t(), how)

    assert torch.autograd.gradcheck(run, [x, base, bias, b, a])


@pytest.mark.parametrize("frozen", range(5))
@pytest.mark.parametrize("layer", ["linear", "convolution"])
def test_what_is_frozen_gets_no_gradient(layer: str, frozen: int) -> None:
    bias = torch.randn(4, requires_grad=True)
    if layer == "linear":
        base, b, a = (torch.randn(size, requires_grad=True) for size in ((4, 5), (4, 3), (3, 5)))
        x = torch.randn(6, 5, requires_grad=True)
        inputs = [x, base, bias, b, a]
        inputs[frozen].requires_grad_(False)
        linear(*inputs, torch.rand(3, 1)).sum().backward()
    else:
        base, b, a, factors = kernel_parts((4, 5, 3, 3), 3, None)
        x = torch.randn(2, 5, 4, 4, requires_grad=True)
        inputs = [x, base, bias, b, a]
        inputs[frozen].requires_grad_(False)
        conv2d(*inputs, factors.t(), Convolution((1, 1), (1, 1), (1, 1))).sum().backward()
    assert [value.grad is None for value in inputs] == [i == frozen for i in range(5)]


@pytest.mark.parametrize("shape", [(6, 5), (2, 3, 5), (5,)], ids=str)
def test_a_linear_layer_with_one_preference(shape: tuple[int, ...]) -> None:
    base, b, a = (torch.randn(size, requires_grad=True) for size in ((4, 5), (4, 3), (3, 5)))
    x, bias, factors = torch.randn(shape, requires_grad=True), torch.randn(4, requires_grad=True), torch.rand(3, 1)
    found = linear(x, base, bias, b, a, factors)
    expected = F.linear(x, base + (b * factors.t()) @ a, bias)
    torch.testing.assert_close(found, expected)
    inputs = [x, base, bias, b, a]
    torch.testing.assert_close(
        torch.autograd.grad(found.sin().sum(), inputs), torch.autograd.grad(expected.sin().sum(), inputs)
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_has_the_precision_it_asks_for(dtype: torch.dtype) -> None:
    base, b, a, factors = kernel_parts((4, 5, 3, 3), 3, None)
    x = torch.randn(2, 5, 4, 4)
    how = Convolution((1, 1), (1, 1), (1, 1))
    with torch.autocast("cpu", dtype):
        found = conv2d(x, base, None, b, a, factors.t(), how)
    assert found.dtype == dtype
    expected = conv2d(x, base, None, b, a, factors.t(), how)
    torch.testing.assert_close(found.float(), expected, rtol=0.1, atol=0.5)
    gradients = torch.autograd.grad(found.float().sum(), [base, b, a])
    assert {gradient.dtype for gradient in gradients} == {torch.float32}


CHOICES: dict[str, tuple[Callable[[], bool], bool]] = {
    # Measured (milliseconds that merging and applying add, forward and backward; one core of an AMD EPYC).
    "last stage of ResNet-18, r = 4 (8.8, 3.6)": (lambda: conv2d_pays(128, torch.empty(512, 512, 3, 3), 24, 3), True),
    "its first layer, r = 4 (3.6, 2.7)": (lambda: conv2d_pays(128, torch.empty(512, 256, 3, 3), 24, 3), True),
    "its shortcut, r = 4 (0.6, 1.3)": (lambda: conv2d_pays(128, torch.empty(512, 256, 1, 1), 8, 1), False),
    "the stage before, r = 4 (2.9, 7.1)": (lambda: conv2d_pays(512, torch.empty(256, 256, 3, 3), 24, 3), False),
    "the stage before, r = 1 (1.4, 5.8)": (lambda: conv2d_pays(512, torch.empty(256, 256, 3, 3), 6, 3), False),
    "SegNet, 242 places, r = 4 (10.8, 7.5)": (lambda: conv2d_pays(242, torch.empty(512, 512, 3, 3), 24, 3), True),
    "SegNet, 512 places, r = 4 (10.0, 13.7)": (lambda: conv2d_pays(512, torch.empty(512, 512, 3, 3), 24, 3), False),
    "separable, 242 places (7.4, 5.9)": (lambda: conv2d_pays(242, torch.empty(512, 512, 3, 3), 24, 3, True), True),
    "separable, 512 places (6.9, 11.1)": (lambda: conv2d_pays(512, torch.empty(512, 512, 3, 3), 24, 3, True), False),
    "64 rows of 2048 (7.7, 0.4)": (lambda: linear_pays(64, torch.empty(2048, 2048), 8), True),
    "256 rows of 2048 (8.0, 2.1)": (lambda: linear_pays(256, torch.empty(2048, 2048), 8), True),
    "a ViT's 2080 rows (0.6, 2.9)": (lambda: linear_pays(2080, torch.empty(768, 192), 8), False),
}


@pytest.mark.parametrize("name", CHOICES)
def test_the_rule_chooses_what_was_measured_to_cost_less(name: str) -> None:
    choose, expected = CHOICES[name]
    assert choose() is expected
