"""What gaps have in common: the largest difference, its gradient, and groups that are absent."""

from __future__ import annotations

import torch

from moframework.losses import GroupGap
from moframework.losses.between_groups import largest_difference


def test_the_largest_difference_leaves_out_who_is_absent() -> None:
    sums, counts = torch.tensor([[1.0, 3.0, 0.0], [2.0, 0.0, 0.0]]), torch.tensor([[4.0, 4.0, 0.0], [4.0, 0.0, 0.0]])
    gaps, valid = largest_difference(sums, counts, counts > 0)
    assert (gaps.tolist(), valid.tolist()) == ([0.5, 0.0], [True, False])
    everybody, _ = largest_difference(sums, counts, torch.ones_like(counts, dtype=torch.bool))
    assert everybody.tolist() == [0.75, 0.5]  # whose mean is then 0


def test_equal_groups_have_no_gap_and_no_gradient() -> None:
    output = torch.full((6, 1), 0.3, requires_grad=True)
    value = GroupGap(groups=3)(output, torch.tensor([0, 1, 2, 0, 1, 2]))
    value.backward()
    assert value == 0
    assert output.grad is not None
    assert not output.grad.any()
