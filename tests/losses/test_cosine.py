"""The cosine loss: known angles, shapes."""

from __future__ import annotations

import pytest
import torch

from moframework.losses import Cosine


def test_cosine_of_known_angles() -> None:
    target = torch.tensor([[1.0, 0, 0]]).repeat(3, 1)
    output = torch.tensor([[2.0, 0, 0], [0, 3.0, 0], [-1.0, 0, 0]])
    torch.testing.assert_close(Cosine().statistics(output, 7 * target)[:, 0], torch.tensor([0.0, 1.0, 2.0]))


def test_shapes_that_do_not_match_are_refused() -> None:
    for output, target in ((torch.zeros(4, 3), torch.zeros(4, 2)), (torch.zeros(4), torch.zeros(4))):
        with pytest.raises(ValueError, match="one shape"):
            Cosine()(output, target)
