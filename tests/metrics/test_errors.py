"""Errors of regressed values: by hand and against scikit-learn."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn import metrics as sk

from moframework.metrics import MAE, MSE, R2, RMSE, RelativeError
from tests.metrics.meters import value


def test_errors_by_hand_and_as_scikit_learn() -> None:
    output, target = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([0.0, 2.0, 2.0])
    assert value(MAE(), output, target, 1) == pytest.approx(1.0)
    assert value(MSE(), output, target, 1) == pytest.approx(5 / 3)
    assert value(MAE(invalid=0.0), output, target, 1) == pytest.approx(1.0)
    assert value(MSE(invalid=0.0), output, target, 1) == pytest.approx(2.0)
    output, target = torch.randn(20, 1, 3, 3), torch.randn(20, 1, 3, 3)
    flat = target.flatten(), output.flatten()
    assert value(MAE(), output, target, 1) == pytest.approx(sk.mean_absolute_error(*flat), rel=1e-6)
    assert value(MSE(), output, target, 1) == pytest.approx(sk.mean_squared_error(*flat), rel=1e-6)


def test_root_and_determination_as_scikit_learn() -> None:
    torch.manual_seed(0)
    target = 2000 + 5 * torch.randn(50)  # far from 0, as years are
    output = (target + 2 * torch.randn(50)).unsqueeze(1)
    target[:8] = float("nan")
    known = target[8:].double(), output[8:, 0].double()
    assert value(RMSE(), output, target, 1) == pytest.approx(sk.mean_squared_error(*known) ** 0.5, rel=1e-5)
    assert value(R2(), output, target, 1) == pytest.approx(sk.r2_score(*known), rel=1e-5)
    assert math.isnan(value(R2(), output, torch.full((50,), 2000.0), 1))


def test_shapes_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="do not go together"):
        MAE().make(1).update(torch.zeros(4, 2), torch.zeros(4))


def test_relative_error_by_hand_and_as_scikit_learn() -> None:
    output, target = torch.tensor([[1.0], [2.0], [3.0], [9.0]]), torch.tensor([2.0, -4.0, 2.0, 0.0])
    assert value(RelativeError(), output, target, 1) == pytest.approx((1 / 2 + 6 / 4 + 1 / 2) / 3)
    assert value(RelativeError(invalid=2.0), output, target, 1) == pytest.approx(6 / 4)  # a true 0 never counts
    output, target = torch.randn(20, 1, 3, 3), torch.rand(20, 1, 3, 3) + 0.1
    expected = sk.mean_absolute_percentage_error(target.flatten(), output.flatten())
    assert value(RelativeError(), output, target, 1) == pytest.approx(expected, rel=1e-5)
    assert value(RelativeError(), output, target[:, 0], 1) == pytest.approx(expected, rel=1e-5)
