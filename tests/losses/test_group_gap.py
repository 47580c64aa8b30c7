"""The gap between two groups: shapes and targets."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from moframework.losses import GroupGap, Loss


@pytest.mark.parametrize(
    ("loss", "output", "target", "words"),
    [
        (GroupGap(), torch.zeros(4, 3), torch.zeros(4, dtype=torch.long), r"group_gap .* \(4, 3\) and \(4,\)"),
        (
            GroupGap(),
            torch.zeros(4, 2),
            torch.zeros(4, 2, dtype=torch.long),
            r"group_gap needs .* \(b,\), but has \(4, 2\)",
        ),
        (GroupGap(), torch.zeros(4, 1, 5), torch.zeros(4, 5, dtype=torch.long), "a group for each sample"),
    ],
)
def test_shapes_that_do_not_match_are_refused(loss: Loss, output: Tensor, target: Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        loss(output, target)


@pytest.mark.parametrize(
    ("loss", "target", "size", "words"),
    [
        (GroupGap(), torch.tensor([0, 1]), 3, "an output of size 1 or 2, but size is 3"),
        (GroupGap(), torch.tensor([0, 1, 2]), 2, "both groups, 0 and 1, as targets (and -100"),
        (GroupGap(), torch.tensor([1, -100]), 2, "but they hold 1"),
        (GroupGap(), torch.tensor([-100]), 2, "but they hold none"),
    ],
)
def test_targets_that_cannot_be_right_are_told(loss: Loss, target: Tensor, size: int, words: str) -> None:
    fault = loss.fault(target, size)
    assert fault is not None
    assert words in fault


def test_targets_that_are_right_pass() -> None:
    assert GroupGap().fault(torch.tensor([1, -100, 0]), 2) is None
