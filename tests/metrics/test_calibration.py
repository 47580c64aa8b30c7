"""Calibration error: against torchmetrics' own, which keeps all outputs."""

from __future__ import annotations

import pytest
import torch
from torchmetrics.functional import classification

from moframework.metrics import CalibrationError
from tests.metrics.meters import value


def test_of_one_logit_and_of_several() -> None:
    torch.manual_seed(0)
    output, target = 2 * torch.randn(200, 4), torch.randint(0, 4, (200,))
    expected = classification.multiclass_calibration_error(output.softmax(1), target, 4, n_bins=10)
    assert value(CalibrationError(bins=10), output, target, 4) == pytest.approx(float(expected), rel=1e-5)
    gone = torch.where(torch.arange(200) < 50, -100, target % 2)
    expected = classification.binary_calibration_error(output[50:, 0].sigmoid(), gone[50:])
    assert value(CalibrationError(), output[:, :1], gone, 1) == pytest.approx(float(expected), rel=1e-5)


def test_logits_that_look_like_probabilities_are_logits_all_the_same() -> None:
    output, target = torch.zeros(4, 1), torch.tensor([1, 1, 0, 0])
    assert value(CalibrationError(), output, target, 1) == pytest.approx(0)  # each says one half
