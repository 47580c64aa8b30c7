"""Losses of numbers: shapes, and the Huber loss on both sides of its bend."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from moframework.losses import L1, MSE, Huber, Loss, MaskedL1


@pytest.mark.parametrize(
    ("loss", "output", "target", "words"),
    [
        (MSE(), torch.zeros(4, 2), torch.zeros(4), r"mse .* \(4, 2\) and \(4,\)"),
        (L1(), torch.zeros(4), torch.zeros(4, 1), "l1 needs"),  # would broadcast to 4×4
        (Huber(), torch.zeros(4, 2), torch.zeros(4), "huber needs"),
        (MaskedL1(), torch.zeros(4, 2), torch.zeros(4), "masked_l1 needs"),
    ],
)
def test_shapes_that_do_not_match_are_refused(loss: Loss, output: Tensor, target: Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        loss(output, target)


def test_huber_is_squared_near_zero_and_linear_beyond() -> None:
    loss, target = Huber(delta=2.0), torch.zeros(1)
    assert loss(torch.tensor([[1.0]]), target) == 0.5
    assert loss(torch.tensor([[5.0]]), target) == 2 * (5 - 1)


def test_numbers_of_any_size_pass() -> None:
    assert MSE().fault(torch.tensor([1e9]), 1) is None
