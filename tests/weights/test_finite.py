"""The finite space: K separate networks, chosen by the nearest anchor."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from moframework.errors import SpecError
from moframework.weights.finite import Finite

ANCHORS = ((1.0, 0.0), (0.5, 0.5), (0.0, 1.0))


def test_every_anchor_has_its_own_network() -> None:
    space = Finite(anchors=ANCHORS).build(lambda: nn.Linear(3, 2), 2, None)
    weights = [space.weights(torch.tensor(anchor))["weight"] for anchor in ANCHORS]
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])
    assert sum(p.numel() for p in space.parameters()) == 3 * 8


def test_between_anchors_the_nearest_answers() -> None:
    space = Finite(anchors=ANCHORS).build(lambda: nn.Linear(3, 2), 2, None)
    near = space.weights(torch.tensor([0.9, 0.1]))["weight"]
    assert near is space.weights(torch.tensor([1.0, 0.0]))["weight"]


def test_a_step_on_one_anchor_leaves_the_others() -> None:
    space = Finite(anchors=ANCHORS).build(lambda: nn.Linear(3, 2), 2, None)
    space.weights(torch.tensor([0.5, 0.5]))["weight"].sum().backward()
    reached = [any(p.grad is not None for p in member.parameters()) for member in space.members]
    assert reached == [False, True, False]


def test_all_start_from_the_given_weights() -> None:
    initial = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
    space = Finite(anchors=ANCHORS).build(lambda: nn.Linear(3, 2), 2, initial)
    for anchor in ANCHORS:
        assert torch.equal(space.weights(torch.tensor(anchor))["weight"], torch.ones(2, 3))


def test_anchors_of_the_wrong_length_are_refused() -> None:
    with pytest.raises(SpecError, match=r"2 numbers, but there are 3 objectives"):
        Finite(anchors=ANCHORS).build(lambda: nn.Linear(3, 2), 3, None)
