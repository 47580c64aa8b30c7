"""Targets that are unknown: with half of them removed every metric is that of the samples that have one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from moframework.config import build
from moframework.metrics import Metric
from tests.metrics.meters import value

NUMBERS = ("mae", "mse", "rmse", "r2", "relative_error")
ANGLES = ("mean_angle", "median_angle", "angle_within")
FAIRNESS = ("demographic_parity", "equal_opportunity", "equalized_odds")
CLASSES = (
    *("accuracy", "f1", "precision", "recall", "balanced_accuracy", "auroc", "average_precision", "calibration_error"),
    *("iou", {"name": "iou", "over": "image"}),
)


def data(metric: object, size: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    if metric in NUMBERS:
        return torch.randn(20, 1), torch.rand(20) + 0.1
    if metric in ANGLES:
        return torch.randn(20, 3, 2, 2), torch.randn(20, 3, 2, 2)
    if metric == "group_gap":
        return torch.randn(20, size), torch.randint(0, 2, (20,))
    if metric in FAIRNESS:
        return torch.randn(20, size), torch.randint(0, 2, (20, 2))
    return torch.randn(20, size, 3, 3).squeeze(1), torch.randint(0, max(size, 2), (20, 3, 3))


KINDS = [*((name, 1) for name in NUMBERS), *((name, 3) for name in ANGLES), ("group_gap", 1), ("group_gap", 2)]
KINDS += [(name, size) for name in FAIRNESS for size in (1, 2)]
KINDS += [(metric, size) for metric in CLASSES for size in (1, 4)]  # type: ignore[misc]


def test_each_metric_is_tried() -> None:
    tried = {metric if isinstance(metric, str) else "iou" for metric, _ in KINDS}
    assert tried == {name for name in Metric.names() if not name.startswith("tests")}


@pytest.mark.parametrize("as_nan", [True, False])
@pytest.mark.parametrize(("metric", "size"), KINDS, ids=str)
def test_with_half_of_the_labels_a_metric_is_that_of_the_samples_that_have_one(
    metric: object, size: int, as_nan: bool
) -> None:
    made: Metric = build(Metric, metric)  # type: ignore[type-abstract]
    output, target = data(metric, size)
    gone = torch.arange(20) % 2 == 1
    mark = float("nan") if as_nan or target.is_floating_point() else -100
    partial = torch.where(gone.reshape(-1, *[1] * (target.dim() - 1)), mark, target)
    found = value(made, output, partial, size)
    assert found == pytest.approx(value(made, output[~gone], target[~gone], size), rel=1e-6)
    assert math.isfinite(found)


@pytest.mark.parametrize(("metric", "size"), KINDS, ids=str)
def test_without_any_label_there_is_no_error(metric: object, size: int) -> None:
    made: Metric = build(Metric, metric)  # type: ignore[type-abstract]
    output, target = data(metric, size)
    found = value(made, output, torch.full_like(target, float("nan"), dtype=torch.float32), size)
    assert math.isnan(found) or found == 0
