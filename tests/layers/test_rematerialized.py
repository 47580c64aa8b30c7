"""Weights that are made where they are used, and again going backward: every function sees the weight, no graph keeps
it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moframework.layers.rematerialized import rematerializing

USES: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda w: F.linear(torch.ones(2, 3).to(w.dtype), w),
    "in a keyword": lambda w: F.linear(torch.ones(2, 3).to(w.dtype), weight=w),
    "conv1d": lambda w: F.conv1d(torch.ones(1, 3, 4).to(w.dtype), w.unsqueeze(2)),
    "embedding": lambda w: F.embedding(torch.tensor([1, 0, 1]), w),
    "arithmetic": lambda w: 2 * w + w,
    "transposed": lambda w: torch.ones(2, 3).to(w.dtype) @ w.t(),
    "sliced": lambda w: w[:, :2] @ torch.ones(2, 1).to(w.dtype),
    "in a list": lambda w: torch.cat([w, w * w]),
    "normalized": lambda w: w / w.norm(),
}


def used(use: Callable[[Tensor], Tensor], make: Callable[[], Tensor]) -> Tensor:
    """What a use returns, with a weight that no graph keeps."""
    value = make()
    with rematerializing({"weight": value}, lambda name: make()):
        return use(value)


@pytest.mark.parametrize("name", USES)
def test_every_use_sees_the_weight_and_sends_gradients_back(name: str) -> None:
    parameter = torch.randn(4, 3, requires_grad=True)
    found = used(USES[name], lambda: parameter.exp().square())
    expected = USES[name](parameter.exp().square())
    assert type(found) is Tensor
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found.sin().sum(), parameter), torch.autograd.grad(expected.sin().sum(), parameter)
    )


@pytest.mark.parametrize("name", USES)
def test_gradients_of_gradients(name: str) -> None:
    parameter = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    found = []
    for value in (used(USES[name], lambda: parameter.exp().square()), USES[name](parameter.exp().square())):
        (first,) = torch.autograd.grad(value.sin().sum(), parameter, create_graph=True)
        found.append([first, *torch.autograd.grad(first.sin().sum(), parameter)])
    torch.testing.assert_close(found[0], found[1])


def test_the_graph_makes_it_again() -> None:
    values: list[weakref.ref[Tensor]] = []
    calls = 0
    parameter = torch.randn(4, 3, requires_grad=True)

    def make() -> Tensor:
        nonlocal calls
        calls += 1
        value = parameter + 1
        values.append(weakref.ref(value))
        return value

    x = torch.randn(2, 3, requires_grad=True)
    result = used(lambda w: F.linear(x, w), make)
    gc.collect()
    assert values[0]() is None
    result.sum().backward()
    assert calls == 2
    torch.testing.assert_close(x.grad, (parameter + 1).sum(dim=0).expand(2, 3))


def test_without_gradients_nothing_is_made_twice() -> None:
    calls: list[int] = []

    def make() -> Tensor:
        calls.append(1)
        return torch.ones(4, 3)

    with torch.no_grad():
        used(USES["linear"], make)
    assert len(calls) == 1


def test_attention_with_several_of_them() -> None:
    attention = nn.MultiheadAttention(4, 2, batch_first=True)
    parameters = {name: value for name, value in attention.named_parameters() if value.dim() == 2}
    x = torch.randn(2, 3, 4)
    expected = attention(x, x, x)[0]
    wanted = torch.autograd.grad(expected.sum(), list(parameters.values()))
    values = {name: value * 1 for name, value in parameters.items()}
    attention.in_proj_weight, attention.out_proj.weight = None, None  # type: ignore[assignment]
    attention._parameters["in_proj_weight"] = values["in_proj_weight"]  # type: ignore[assignment]
    attention.out_proj._parameters["weight"] = values["out_proj.weight"]  # type: ignore[assignment]
    with rematerializing(values, lambda name: parameters[name] * 1):
        found = attention(x, x, x)[0]
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found.sum(), list(parameters.values())), wanted)


def test_views_of_named_weights_are_made_again() -> None:
    """The hooks by themselves, as sharded parameters use them: of several weights, each is asked for by its name."""
    parameters = {"left": torch.randn(4, 3, requires_grad=True), "right": torch.randn(3, 4, requires_grad=True)}
    values = {name: value * 2 for name, value in parameters.items()}
    asked: list[str] = []

    def make(name: str) -> Tensor:
        asked.append(name)
        return parameters[name] * 2

    x = torch.randn(2, 3, requires_grad=True)
    with rematerializing(values, make):
        result = x @ values["left"].t()[:, 1:] + (x @ values["right"])[:, :3]
    values.clear()
    result.sin().sum().backward()
    assert sorted(asked) == ["left", "right"]
    expected = x @ (parameters["left"] * 2).t()[:, 1:] + (x @ (parameters["right"] * 2))[:, :3]
    leaves = [x, *parameters.values()]
    torch.testing.assert_close([leaf.grad for leaf in leaves], list(torch.autograd.grad(expected.sin().sum(), leaves)))
