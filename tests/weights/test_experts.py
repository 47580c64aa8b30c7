"""Soup-of-Experts against its equation."""

from __future__ import annotations

import torch
from torch import nn

from moframework.weights.experts import Experts, ExpertsSpace


def test_weights_are_the_mixture() -> None:
    net = nn.Linear(2, 2)
    made = Experts(count=3, hidden=(5,)).build(lambda: net, 2, None)
    assert isinstance(made, ExpertsSpace)
    at = torch.tensor([0.25, 0.75])
    assert all(torch.equal(value, net.get_parameter(name)) for name, value in made.weights(at).items())
    with torch.no_grad():
        _, *experts = made.sets.members()
        for k, expert in enumerate(experts):
            expert["weight"].copy_(torch.full((2, 2), k + 1.0))
        mixture = made.mixture[-1]
        mixture.weight.zero_()
        mixture.bias.copy_(torch.tensor([1.0, 0.5, -1.0]))
    # 1 · 1 + 0.5 · 2 − 1 · 3 = −1
    torch.testing.assert_close(made.weights(at)["weight"], net.weight - 1)
    torch.testing.assert_close(made.weights(at)["bias"], net.bias)


def test_one_expert_a_task_unless_told_otherwise() -> None:
    made = Experts().build(lambda: nn.Linear(2, 2), 5, None)
    assert isinstance(made, ExpertsSpace)
    assert made.sets.count == 1 + 5
