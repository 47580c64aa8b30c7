"""Heads: found by what outputs depend on, or named."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from moframework.errors import SpecError
from moframework.merging.heads import find_heads, head_buffers, named_heads
from tests.merging.two_heads import TASKS, TwoHeads


def test_heads_are_what_one_output_alone_depends_on() -> None:
    network = TwoHeads()
    for value in network.b.parameters():  # it does not matter what is frozen, or gives no gradient
        value.requires_grad_(False)
        nn.init.zeros_(value)
    heads = find_heads(network, TASKS, torch.randn(2, 4), "one")
    assert heads == [["a.0.weight", "a.0.bias", "a.1.weight", "a.1.bias"], ["b.weight", "b.bias"]]
    assert network.training
    assert not network.b.weight.requires_grad
    assert head_buffers(network, heads) == [
        ["a.1.running_mean", "a.1.running_var", "a.1.num_batches_tracked"], []
    ]  # fmt: skip


def test_tasks_of_one_output_have_no_heads() -> None:
    assert find_heads(nn.Linear(4, 2), ["out", "out"], torch.randn(2, 4), "one") == [[], []]
    assert find_heads(TwoHeads(), ["left", "left", "right"], torch.randn(2, 4), "one")[:2] == [[], []]


def test_outputs_that_read_each_other() -> None:
    class Chained(TwoHeads):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            outputs = super().forward(x)
            return {"left": outputs["left"], "right": outputs["right"] + outputs["left"].mean()}

    assert find_heads(Chained(), TASKS, torch.randn(2, 4), "one") == [[], ["b.weight", "b.bias"]]


def test_named_heads() -> None:
    heads = named_heads(TwoHeads(), {"right": ("b", "shared.bias")}, TASKS)
    assert heads == [[], ["b.weight", "b.bias", "shared.bias"]]
    with pytest.raises(SpecError, match=r"solver.heads: 'up' is no task"):
        named_heads(TwoHeads(), {"up": "b"}, TASKS)
    with pytest.raises(SpecError, match=r"solver.heads.left: no parameter or module is called 'a.7'"):
        named_heads(TwoHeads(), {"left": "a.7"}, TASKS)
    with pytest.raises(SpecError, match=r"b.bias is in the heads of both"):
        named_heads(TwoHeads(), {"left": "b", "right": "b"}, TASKS)
