"""The contract of backbones: functions as backbones, outputs by name, heads."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from moframework.backbones.base import Backbone, Heads, named_outputs
from moframework.errors import MoframeworkError, SpecError


def linear(input_shape: tuple[int, ...], outputs: dict[str, int], bias: bool = True) -> nn.Module:
    """One linear layer. bias: whether it has one."""
    return nn.Linear(input_shape[0], sum(outputs.values()), bias=bias)


def fixed(width: int = 3) -> nn.Module:
    """A network that asks for nothing."""
    return nn.Linear(2, width)


def test_a_function_is_a_backbone() -> None:
    made: Any = Backbone.from_function(linear)
    network = made(bias=False).build((5,), {"a": 2, "b": 1})
    assert (network.in_features, network.out_features, network.bias) == (5, 3, None)
    assert made() == made(bias=True)
    other: Any = Backbone.from_function(fixed)
    assert other(width=4).build((2,), {"a": 4}).out_features == 4


def test_functions_that_cannot_be_backbones() -> None:
    made: Any = Backbone.from_function(lambda outputs: torch.zeros(1))
    with pytest.raises(MoframeworkError, match=r"must return an nn\.Module, but returned a Tensor"):
        made().build((2,), {"a": 1})

    def network(input_shape: tuple[int, ...], encoder: nn.Module) -> nn.Module:
        return encoder

    with pytest.raises(MoframeworkError, match="encoder"):
        Backbone.from_function(network)


X, Y = torch.zeros(2, 1), torch.ones(2, 1)


@dataclasses.dataclass
class Fields:
    a: torch.Tensor
    b: torch.Tensor
    loss: torch.Tensor | None = None


class Named(NamedTuple):
    b: torch.Tensor
    a: torch.Tensor


class Unlike(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


@pytest.mark.parametrize(
    ("result", "keys", "expected"),
    [
        (X, ["a"], {"a": X}),
        ((X, Y), ["a", "b"], {"a": X, "b": Y}),
        ([X], ["a"], {"a": X}),
        ({"b": X, "a": Y, "more": X}, ["a", "b"], {"a": Y, "b": X}),
        (Fields(X, Y), ["b", "a"], {"a": X, "b": Y}),
        (Named(X, Y), ["a", "b"], {"b": X, "a": Y}),
        (Unlike(X, Y), ["a", "b"], {"a": X, "b": Y}),
    ],
)
def test_outputs_by_name(result: object, keys: list[str], expected: dict[str, Tensor]) -> None:
    found = named_outputs(result, keys)
    assert list(found) == keys
    assert all(found[key] is expected[key] for key in keys)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (X, "a, b, but the network returned one tensor"),
        ((X, Y, X), "returned 3 outputs in a tuple"),
        ({"a": X, "c": Y}, "returned the outputs a, c"),
        (None, "returned a NoneType"),
        (Unlike(X, Y)._replace(first=X)[:1], "returned 1 outputs in a tuple"),
        (dataclasses.make_dataclass("Other", ["a", "c"])(X, Y), "returned the outputs a, c"),
    ],
)
def test_outputs_that_do_not_fit(result: object, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        named_outputs(result, ["a", "b"])


def test_heads_may_be_called_anything() -> None:
    keys = ["type", "train", "keys", "forward", "5 o'clock"]
    heads = Heads({key: nn.Linear(2, i + 1) for i, key in enumerate(keys)})
    outputs = heads(torch.randn(3, 2))
    assert {key: value.shape[1] for key, value in outputs.items()} == {key: i + 1 for i, key in enumerate(keys)}
    assert "to_type.weight" in heads.state_dict()
    assert heads.train(False).training is False
