"""A convolution that applies an adapter to what it reads: results and gradients are those of the merged kernel."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from moframework.layers.low_rank import Adapted
from moframework.layers.low_rank_conv import Convolution, conv2d
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
    found = conv2d(x, shift, Adapted(base, b, a, factors.t(), order), Convolution(stride, padding, dilation))
    (weight,) = merged(base, b, a, factors, order)
    expected = F.conv2d(x, weight, shift, stride, padding, dilation)
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(found, expected, **close)
    assert found.is_contiguous(memory_format=ORDERS[memory]) or 1 in x.shape[1:2]
    direction = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, inputs, direction), torch.autograd.grad(expected, inputs, direction), **close
    )


def test_each_sample_may_have_factors_of_its_own() -> None:
    base, b, a, _ = kernel_parts((4, 5, 3, 3), 3, None)
    x, factors, how = torch.randn(3, 5, 6, 6), torch.rand(3, 3), Convolution((1, 1), (1, 1), (1, 1))
    found = conv2d(x, None, Adapted(base, b, a, factors), how)
    for sample, own, column in zip(x, found, factors.unbind(dim=1), strict=True):
        (weight,) = merged(base, b, a, column.unsqueeze(0))
        torch.testing.assert_close(own, F.conv2d(sample, weight, padding=1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("order", [None, (0, 2, 3, 1)], ids=["in order", "channels last"])
@pytest.mark.parametrize("columns", [1, 2], ids=["one preference", "one for each sample"])
@pytest.mark.parametrize("large", [True, False], ids=["patches kept", "patches made again"])
def test_derivatives_of_a_convolution_are_those_of_finite_differences(
    large: bool, columns: int, order: tuple[int, ...] | None
) -> None:
    base, b, a, _ = kernel_parts((8 if large else 2, 2, 2, 2), 2, None, dtype=torch.float64)
    x = torch.randn(2, 2, 2, 2 if large else 3, dtype=torch.float64, requires_grad=True)
    how = Convolution((1, 1), (0, 0), (1, 1)) if large else Convolution((2, 1), (1, 0), (1, 1))
    patches = len(x) * math.prod(how.places(x, base)) * base[0].numel()
    assert (4 * patches <= base.numel()) is large
    bias = torch.randn(len(base), dtype=torch.float64, requires_grad=True)
    factors = torch.rand(3, columns, dtype=torch.float64)

    def run(*inputs: Tensor) -> Tensor:
        x, base, bias, b, a = inputs
        return conv2d(x, bias, Adapted(base, b, a, factors, order), how)

    assert torch.autograd.gradcheck(run, [x, base, bias, b, a])
    if columns == 1:  # see `differentiably`
        assert torch.autograd.gradgradcheck(run, [x, base, bias, b, a])


@pytest.mark.parametrize("memory", ORDERS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("shape", "chunks", "order", "stride", "padding", "dilation"), CONVOLUTIONS)
def test_gradients_of_gradients_of_a_convolution(shape, chunks, order, stride, padding, dilation, bias, memory) -> None:  # type: ignore[no-untyped-def]
    base, b, a, factors = kernel_parts(shape, chunks, order, dtype=torch.float64)
    x = torch.randn(2, shape[1], 9, 8, dtype=torch.float64).contiguous(memory_format=ORDERS[memory]).requires_grad_()
    shift = torch.randn(shape[0], dtype=torch.float64, requires_grad=True) if bias else None
    inputs = [x, base, b, a, *([] if shift is None else [shift])]
    (weight,) = merged(base, b, a, factors, order)
    values = [
        conv2d(x, shift, Adapted(base, b, a, factors.t(), order), Convolution(stride, padding, dilation)),
        F.conv2d(x, weight, shift, stride, padding, dilation),
    ]
    found = []
    for value in values:
        first = torch.autograd.grad(value.sin().sum(), inputs, create_graph=True)
        penalty = torch.stack([gradient.square().sum() for gradient in first]).sum()
        found.append([*first, *torch.autograd.grad(penalty, inputs)])
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("frozen", range(5))
def test_what_is_frozen_gets_no_gradient(frozen: int) -> None:
    base, b, a, factors = kernel_parts((4, 5, 3, 3), 3, None)
    x, bias = torch.randn(2, 5, 4, 4, requires_grad=True), torch.randn(4, requires_grad=True)
    inputs = [x, base, bias, b, a]
    inputs[frozen].requires_grad_(False)
    conv2d(x, bias, Adapted(base, b, a, factors.t()), Convolution((1, 1), (1, 1), (1, 1))).sum().backward()
    assert [value.grad is None for value in inputs] == [i == frozen for i in range(5)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_has_the_precision_it_asks_for(dtype: torch.dtype) -> None:
    base, b, a, factors = kernel_parts((4, 5, 3, 3), 3, None)
    x = torch.randn(2, 5, 4, 4)
    how = Convolution((1, 1), (1, 1), (1, 1))
    with torch.autocast("cpu", dtype):
        found = conv2d(x, None, Adapted(base, b, a, factors.t()), how)
    assert found.dtype == dtype
    expected = conv2d(x, None, Adapted(base, b, a, factors.t()), how)
    torch.testing.assert_close(found.float(), expected, rtol=0.1, atol=0.5)
    gradients = torch.autograd.grad(found.float().sum(), [base, b, a])
    assert {gradient.dtype for gradient in gradients} == {torch.float32}
