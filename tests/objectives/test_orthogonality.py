"""Orthogonality of adapters, against their explicit products."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from moframework.objectives.orthogonality import orthogonality


def test_agrees_with_the_products_themselves() -> None:
    generator = torch.Generator().manual_seed(0)
    b = torch.randn(4, 5, 2, generator=generator, dtype=torch.float64)
    a = torch.randn(4, 2, 6, generator=generator, dtype=torch.float64)
    w = normalize((b @ a).flatten(1), dim=1)
    expected = ((w @ w.T) - torch.eye(4)).square().sum()
    torch.testing.assert_close(orthogonality(b, a), expected, atol=1e-7, rtol=1e-7)


def test_equal_adapters_are_farthest_and_scale_does_not_matter() -> None:
    b, a = torch.ones(3, 4, 1), torch.ones(3, 1, 4) * torch.tensor([1.0, -2.0, 30.0]).view(3, 1, 1)
    torch.testing.assert_close(orthogonality(b, a), torch.tensor(6.0))


def test_adapters_that_start_at_zero_give_zero_with_gradient_zero() -> None:
    b, a = torch.zeros(2, 3, 1, requires_grad=True), torch.ones(2, 1, 3, requires_grad=True)
    value = orthogonality(b, a)
    value.backward()
    assert float(value.detach()) == 0.0
    assert not b.grad.any()
    assert not a.grad.any()


def test_one_adapter_has_no_other() -> None:
    assert float(orthogonality(torch.ones(1, 2, 1), torch.ones(1, 1, 2))) == 0.0
