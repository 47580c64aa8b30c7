"""Layers that apply an adapter to what they read: results and gradients are those of the merged weight."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from moframework.layers import low_rank
from moframework.layers.low_rank import (
    Adapted,
    AdaptedWeight,
    Convolution,
    adapted_weight,
    applied,
    conv2d,
    conv2d_pays,
    linear,
    linear_pays,
)
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


def doubles(*tensors: Tensor) -> list[Tensor]:
    return [tensor.detach().double().requires_grad_() for tensor in tensors]


@pytest.mark.parametrize("columns", [1, 6], ids=["one preference", "one for each sample"])
@pytest.mark.parametrize("bias", [True, False])
def test_derivatives_of_a_linear_layer_are_those_of_finite_differences(bias: bool, columns: int) -> None:
    inputs = doubles(torch.randn(6, 5), torch.randn(4, 5), torch.randn(4, 3), torch.randn(3, 5))
    inputs += doubles(torch.randn(4)) if bias else []
    factors = torch.rand(3, columns, dtype=torch.float64)

    def run(x: Tensor, base: Tensor, b: Tensor, a: Tensor, bias: Tensor | None = None) -> Tensor:
        return linear(x, bias, Adapted(base, b, a, factors))

    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)


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


def test_each_sample_may_have_factors_of_its_own() -> None:
    base, b, a, _ = kernel_parts((4, 5, 3, 3), 3, None)
    x, factors, how = torch.randn(3, 5, 6, 6), torch.rand(3, 3), Convolution((1, 1), (1, 1), (1, 1))
    found = conv2d(x, None, Adapted(base, b, a, factors), how)
    for sample, own, column in zip(x, found, factors.unbind(dim=1), strict=True):
        (weight,) = merged(base, b, a, column.unsqueeze(0))
        torch.testing.assert_close(own, F.conv2d(sample, weight, padding=1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("frozen", range(5))
@pytest.mark.parametrize("layer", ["linear", "convolution"])
def test_what_is_frozen_gets_no_gradient(layer: str, frozen: int) -> None:
    bias = torch.randn(4, requires_grad=True)
    if layer == "linear":
        base, b, a = (torch.randn(size, requires_grad=True) for size in ((4, 5), (4, 3), (3, 5)))
        x = torch.randn(6, 5, requires_grad=True)
        inputs = [x, base, bias, b, a]
        inputs[frozen].requires_grad_(False)
        linear(x, bias, Adapted(base, b, a, torch.rand(3, 1))).sum().backward()
    else:
        base, b, a, factors = kernel_parts((4, 5, 3, 3), 3, None)
        x = torch.randn(2, 5, 4, 4, requires_grad=True)
        inputs = [x, base, bias, b, a]
        inputs[frozen].requires_grad_(False)
        conv2d(x, bias, Adapted(base, b, a, factors.t()), Convolution((1, 1), (1, 1), (1, 1))).sum().backward()
    assert [value.grad is None for value in inputs] == [i == frozen for i in range(5)]


@pytest.mark.parametrize("shape", [(6, 5), (2, 3, 5), (5,)], ids=str)
def test_a_linear_layer_with_one_preference(shape: tuple[int, ...]) -> None:
    base, b, a = (torch.randn(size, requires_grad=True) for size in ((4, 5), (4, 3), (3, 5)))
    x, bias, factors = torch.randn(shape, requires_grad=True), torch.randn(4, requires_grad=True), torch.rand(3, 1)
    found = linear(x, bias, Adapted(base, b, a, factors))
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
        found = conv2d(x, None, Adapted(base, b, a, factors.t()), how)
    assert found.dtype == dtype
    expected = conv2d(x, None, Adapted(base, b, a, factors.t()), how)
    torch.testing.assert_close(found.float(), expected, rtol=0.1, atol=0.5)
    gradients = torch.autograd.grad(found.float().sum(), [base, b, a])
    assert {gradient.dtype for gradient in gradients} == {torch.float32}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_linear_layer_under_autocast(dtype: torch.dtype) -> None:
    base, b, a = (torch.randn(size, requires_grad=True) for size in ((4, 5), (4, 3), (3, 5)))
    x, bias, factors = torch.randn(6, 5), torch.randn(4), torch.rand(3, 1)
    with torch.autocast("cpu", dtype):
        found = linear(x, bias, Adapted(base, b, a, factors))
    assert found.dtype == dtype
    expected = linear(x, bias, Adapted(base, b, a, factors))
    torch.testing.assert_close(found.float(), expected, rtol=0.1, atol=0.1)
    gradients = torch.autograd.grad(found.float().sum(), [base, b, a])
    assert {gradient.dtype for gradient in gradients} == {torch.float32}
    torch.testing.assert_close(gradients, torch.autograd.grad(expected.sum(), [base, b, a]), rtol=0.1, atol=0.2)


def adapted_kernel() -> Adapted:
    base, b, a, factors = kernel_parts((4, 6, 3, 3), 3, None)
    return Adapted(base, b, a, factors.t())


Call = tuple[Callable[..., Tensor], tuple[object, ...], dict[str, object]]
# Calls of layers with a kernel (4, 6, 3, 3) in the second place, and whether the adapter can be applied.
CALLS: dict[str, tuple[Callable[[Tensor, Tensor], Call], bool]] = {
    "as nn.Conv2d": (lambda x, w: (F.conv2d, (x, w, None, (1, 1), (1, 1), (1, 1), 1), {}), True),
    "numbers for pairs": (lambda x, w: (F.conv2d, (x, w, None, 2, 1, 1, 1), {}), True),
    "padding by name": (lambda x, w: (F.conv2d, (x, w, None, (1, 1), "same", (1, 1), 1), {}), False),
    "without options": (lambda x, w: (F.conv2d, (x, w), {}), False),
    "options by name": (lambda x, w: (F.conv2d, (x, w), {"stride": 1}), False),
    "in groups": (lambda x, w: (F.conv2d, (x.repeat(1, 2, 1, 1), w, None, 1, 1, 1, 2), {}), False),
    "one image": (lambda x, w: (F.conv2d, (x[0], w, None, 1, 1, 1, 1), {}), False),
    "transposed": (lambda x, w: (F.conv_transpose2d, (x[:, :4], w), {}), False),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_adapter_is_applied_where_a_layer_is_called_as_known(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(low_rank, "conv2d_pays", lambda *arguments: True)
    make, known = CALLS[name]
    adapted, x = adapted_kernel(), torch.randn(2, 6, 7, 6)
    weight = adapted_weight(adapted)
    func, args, kwargs = make(x, weight)
    assert (applied(func, args, kwargs, adapted) is not None) is known
    found = func(*args, **kwargs)
    assert isinstance(weight, AdaptedWeight)
    assert (weight._made is None) is known
    func, args, kwargs = make(x, weight.materialize())
    expected = func(*args, **kwargs)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


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
