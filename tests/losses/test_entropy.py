"""Entropy of predictions."""

from __future__ import annotations

import math

import torch

from moframework.losses.entropy import Entropy

UNKNOWN = torch.full((2,), torch.nan)


def test_by_hand() -> None:
    # Probabilities 1/4 and 3/4; then a certain one.
    logits = torch.tensor([[0.0, math.log(3)], [40.0, -40.0]])
    first = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    torch.testing.assert_close(Entropy().statistics(logits, UNKNOWN), torch.tensor([[first, 1.0], [0.0, 1.0]]))
    assert Entropy()(logits, UNKNOWN).item() == torch.tensor(first / 2)
    # One logit stands for two classes.
    torch.testing.assert_close(Entropy()(torch.tensor([[math.log(3)], [80.0]]), UNKNOWN), torch.tensor(first / 2))


def test_positions_and_no_sample() -> None:
    logits = torch.zeros(2, 5, 3, 4)
    found = Entropy().statistics(logits, torch.zeros(2, 3, 4))
    torch.testing.assert_close(found, torch.tensor([[12 * math.log(5), 12.0]] * 2))
    assert Entropy().finish(torch.zeros(2)).item() == 0
