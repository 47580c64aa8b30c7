"""The gap between two groups: by hand, without a group."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from moframework.config import build
from moframework.metrics import GroupGap, Metric
from tests.metrics.meters import value


def test_the_gap_of_decisions_by_hand() -> None:
    """Class 1 is decided for 2 of 3 of group 1 and 1 of 4 of group 0; one sample is in neither."""
    chosen = torch.tensor([1, 1, 0, 1, 0, 0, 0, 1])
    target = torch.tensor([1, 1, 1, 0, 0, 0, 0, -100])
    logit = (2.0 * chosen - 1) * torch.rand(8)
    for output, size in ((logit.unsqueeze(1), 1), (torch.stack([-logit, logit], dim=1), 2)):
        for given in (target, torch.where(target == -100, target, 1 - target)):  # whichever group is ahead
            for chunks in (1, 3):
                assert value(GroupGap(), output, given, size, chunks=chunks) == pytest.approx(2 / 3 - 1 / 4)


def test_the_gap_of_decisions_without_a_group_is_nan_and_a_meter_can_be_used_again() -> None:
    meter = GroupGap().make(2)
    meter.update(torch.tensor([[0.0, 1.0]]), torch.tensor([1]))
    assert np.isnan(float(meter.compute()))
    meter.reset()
    meter.update(torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.tensor([1, 0]))
    assert float(meter.compute()) == 0
    assert (GroupGap().label, GroupGap.higher_is_better, GroupGap.worst) == ("gap", False, 1.0)
    assert build(Metric, "group_gap") == GroupGap()  # type: ignore[type-abstract]
