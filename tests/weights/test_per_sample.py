"""Weights of each sample: what a linear layer makes of them is what it makes of each sample's own weight."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moframework.weights.low_rank import LowRank, LowRankSpace
from moframework.weights.per_sample import PerSample

IN, OUT, INNER = 5, 4, 3


def factors_of(*samples: int) -> tuple[list[Tensor], Tensor]:
    """Weights of two matrices and a batch that is made of pieces: base, b, a, and the factors."""
    parts = [torch.randn(OUT, IN), torch.randn(OUT, INNER), torch.randn(INNER, IN)]
    columns = [torch.rand(INNER, 1).expand(-1, n) for n in samples]
    return [part.requires_grad_() for part in parts], torch.cat(columns, dim=1)


def sample_by_sample(x: Tensor, parts: list[Tensor], factors: Tensor, bias: Tensor | None) -> Tensor:
    base, b, a = parts
    return torch.stack([F.linear(x[i], base + (b * factors[:, i]) @ a, bias) for i in range(len(x))])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("between", [(), (3,), (2, 3), (0,)], ids=str)
def test_a_linear_layer_uses_the_weight_of_each_sample(between: tuple[int, ...], bias: bool) -> None:
    parts, factors = factors_of(3, 1, 0, 2)
    x = torch.randn(6, *between, IN, requires_grad=True)
    shift = torch.randn(OUT, requires_grad=True) if bias else None
    inputs = [x, *parts, *([] if shift is None else [shift])]
    found = F.linear(x, PerSample(*parts, factors), shift)
    expected = sample_by_sample(x, parts, factors, shift)
    direction = torch.randn_like(expected)
    assert type(found) is Tensor
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, inputs, direction), torch.autograd.grad(expected, inputs, direction)
    )


def test_gradients_are_those_of_finite_differences() -> None:
    parts, factors = factors_of(2, 3)
    inputs = [torch.randn(5, IN), *(part.detach() for part in parts), torch.randn(OUT)]
    exact = [value.double().requires_grad_() for value in inputs]

    def run(x: Tensor, base: Tensor, b: Tensor, a: Tensor, bias: Tensor) -> Tensor:
        return F.linear(x, PerSample(base, b, a, factors.double()), bias)

    assert torch.autograd.gradcheck(run, exact)


@pytest.mark.parametrize("frozen", range(4))
def test_what_is_frozen_gets_no_gradient(frozen: int) -> None:
    parts, factors = factors_of(2, 2)
    inputs = [torch.randn(4, IN, requires_grad=True), *parts]
    inputs[frozen].requires_grad_(False)
    F.linear(inputs[0], PerSample(*parts, factors)).sum().backward()
    assert [value.grad is None for value in inputs] == [i == frozen for i in range(4)]


def test_an_activation_may_work_in_place() -> None:
    parts, factors = factors_of(2, 2)
    x = torch.randn(4, 3, IN)
    for each in (x, x[:, 0]):
        found = F.relu(F.linear(each, PerSample(*parts, factors)), inplace=True)
        expected = sample_by_sample(each, parts, factors, None).relu()
        torch.testing.assert_close(torch.autograd.grad(found.sum(), parts), torch.autograd.grad(expected.sum(), parts))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_has_the_precision_it_asks_for(dtype: torch.dtype) -> None:
    parts, factors = factors_of(2, 2)
    x, bias = torch.randn(4, 3, IN), torch.randn(OUT)
    with torch.autocast("cpu", dtype):
        found = F.linear(x, PerSample(*parts, factors), bias)
    assert found.dtype == dtype
    expected = sample_by_sample(x, parts, factors, bias)
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.1)
    gradients = torch.autograd.grad(found.float().sum(), parts)
    assert {gradient.dtype for gradient in gradients} == {torch.float32}
    torch.testing.assert_close(gradients, torch.autograd.grad(expected.sum(), parts), rtol=0.05, atol=0.2)


def test_what_is_known_without_a_weight() -> None:
    parts, factors = factors_of(2)
    weight = PerSample(*parts, factors)
    assert (weight.shape, weight.dim(), weight.size(1), len(weight)) == ((OUT, IN), 2, IN, OUT)
    assert (weight.dtype, weight.device.type) == (torch.float32, "cpu")


OTHERS: dict[str, Callable[[Tensor], object]] = {
    "add": lambda weight: weight + 1,
    "compared": lambda weight: weight == weight,
    "added": lambda weight: torch.zeros(OUT, IN) + weight,
    "norm": lambda weight: weight.norm(),
    "mm": lambda weight: torch.mm(torch.randn(2, OUT), weight),
    "transposed": lambda weight: weight.t(),
    "embedding": lambda weight: F.embedding(torch.tensor([1]), weight),
    "bilinear": lambda weight: F.bilinear(torch.randn(2, 3), torch.randn(2, IN), weight),
    "the input of a layer": lambda weight: F.linear(weight, torch.randn(2, IN)),
    "the input and the weight": lambda weight: F.linear(weight, weight),
    "copied": lambda weight: torch.zeros(OUT, IN).copy_(weight),
    "in a list": lambda weight: torch.cat([weight, weight]),
    "read": lambda weight: weight.tolist(),
    "detached": lambda weight: weight.detach(),
    "below torch's functions": lambda weight: torch.ops.aten.mul.Tensor(weight, 2),
}


@pytest.mark.parametrize("name", OTHERS)
def test_every_other_use_is_refused(name: str) -> None:
    parts, factors = factors_of(2)
    with pytest.raises(NotImplementedError, match="can only be used by a linear layer"):
        OTHERS[name](PerSample(*parts, factors))


@pytest.mark.parametrize("shape", [(3, IN), (IN,), (2, 4, IN)], ids=str)
def test_an_input_of_other_samples_is_refused(shape: tuple[int, ...]) -> None:
    parts, factors = factors_of(2, 2)
    with pytest.raises(ValueError, match="a weight of 4 samples is applied to an input"):
        F.linear(torch.randn(shape), PerSample(*parts, factors))


@pytest.mark.parametrize("sizes", [(4, 4), (3, 2), (1, 0), (5,)], ids=str)
def test_a_low_rank_space_gives_each_piece_its_preference(sizes: tuple[int, ...]) -> None:
    network = nn.Sequential(nn.Linear(IN, 6), nn.Tanh(), nn.Linear(6, OUT, bias=False))
    space = LowRank(rank=2, alpha=3.0).build(lambda: network, 3, None)
    assert isinstance(space, LowRankSpace)
    with torch.no_grad():
        for b in space.b:
            b.normal_()
    preferences = torch.rand(len(sizes), 3)
    x = torch.randn(sum(sizes), IN)
    theta = space.weights_per_sample(preferences, sizes)
    assert theta is not None
    assert [name for name, value in theta.items() if isinstance(value, PerSample)] == ["0.weight", "2.weight"]
    thetas = space.weights_of(preferences)
    assert list(theta) == list(thetas[0])
    found = F.linear(F.linear(x, theta["0.weight"], theta["0.bias"]).tanh(), theta["2.weight"])
    expected = torch.cat(
        [
            F.linear(F.linear(piece, each["0.weight"], each["0.bias"]).tanh(), each["2.weight"])
            for piece, each in zip(torch.split(x, list(sizes)), thetas, strict=True)
        ]
    )
    torch.testing.assert_close(found, expected)
    parameters = list(space.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(found.sin().sum(), parameters), torch.autograd.grad(expected.sin().sum(), parameters)
    )


def test_a_space_with_convolutions_has_no_such_weights() -> None:
    for layer in (nn.Conv1d(2, 2, 3), nn.Conv2d(2, 2, 1)):
        network = nn.Sequential(layer, nn.Linear(2, 2))
        space = LowRank().build(lambda network=network: network, 2, None)
        assert space.weights_per_sample(torch.rand(2, 2), [1, 1]) is None
