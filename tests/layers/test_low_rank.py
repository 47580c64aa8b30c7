"""A linear layer that applies an adapter to what it reads: results and gradients are those of the merged weight."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from moframework.layers.low_rank import Adapted, linear
from moframework.layers.merge import merged


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


@pytest.mark.parametrize("shape", [(6, 5), (6, 2, 5)], ids=str)
def test_each_sample_may_have_factors_of_its_own(shape: tuple[int, ...]) -> None:
    base, b, a = (torch.randn(size) for size in ((4, 5), (4, 3), (3, 5)))
    x, bias, factors = torch.randn(shape), torch.randn(4), torch.rand(3, 6)
    found = linear(x, bias, Adapted(base, b, a, factors))
    for sample, own, column in zip(x, found, factors.unbind(dim=1), strict=True):
        torch.testing.assert_close(own, F.linear(sample, base + (b * column) @ a, bias))


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
    if columns == 1:  # see `differentiably`
        assert torch.autograd.gradgradcheck(run, inputs)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(6, 5), (2, 3, 5)], ids=str)
def test_gradients_of_gradients(shape: tuple[int, ...], bias: bool) -> None:
    """Those of a layer with the merged weight."""
    inputs = doubles(torch.randn(shape), torch.randn(4, 5), torch.randn(4, 3), torch.randn(3, 5))
    inputs += doubles(torch.randn(4)) if bias else []
    x, base, b, a, *shift = inputs
    factors = torch.rand(3, 1, dtype=torch.float64)
    found = []
    for value in (
        linear(x, shift[0] if bias else None, Adapted(base, b, a, factors)),
        F.linear(x, merged(base, b, a, factors.t())[0], *shift),
    ):
        first = torch.autograd.grad(value.sin().sum(), inputs, create_graph=True)
        penalty = torch.stack([gradient.square().sum() for gradient in first]).sum()
        found.append([*first, *torch.autograd.grad(penalty, inputs)])
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("frozen", range(5))
def test_what_is_frozen_gets_no_gradient(frozen: int) -> None:
    base, b, a = (torch.randn(size, requires_grad=True) for size in ((4, 5), (4, 3), (3, 5)))
    x, bias = torch.randn(6, 5, requires_grad=True), torch.randn(4, requires_grad=True)
    inputs = [x, base, bias, b, a]
    inputs[frozen].requires_grad_(False)
    linear(x, bias, Adapted(base, b, a, torch.rand(3, 1))).sum().backward()
    assert [value.grad is None for value in inputs] == [i == frozen for i in range(5)]


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
