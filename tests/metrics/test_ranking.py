"""Areas under curves: against scikit-learn."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn import metrics as sk

from moframework.config import build
from moframework.metrics import Metric
from tests.metrics.meters import value


@pytest.mark.parametrize(
    ("name", "expected"), [("auroc", sk.roc_auc_score), ("average_precision", sk.average_precision_score)]
)
def test_of_one_logit(name: str, expected: object) -> None:
    torch.manual_seed(0)
    output, target = (10 * torch.randn(80, 1)).round() * 3, torch.randint(0, 2, (80,))  # ties, and far beyond a sigmoid
    target[:9] = -100
    metric = build(Metric, name)  # type: ignore[type-abstract]
    assert value(metric, output, target, 1) == pytest.approx(expected(target[9:], output[9:, 0]))  # type: ignore[operator]


@pytest.mark.parametrize("average", ["macro", "weighted"])
@pytest.mark.parametrize("name", ["auroc", "average_precision"])
def test_of_several_classes(name: str, average: str) -> None:
    torch.manual_seed(0)
    output, target = torch.randn(90, 4), torch.randint(0, 3, (90,))  # class 3 never occurs
    chances = output.double().softmax(dim=1)
    found = [
        (sk.roc_auc_score if name == "auroc" else sk.average_precision_score)(target == c, chances[:, c])
        for c in range(3)
    ]
    counts = torch.bincount(target).tolist() if average == "weighted" else [1, 1, 1]
    expected = sum(a * n for a, n in zip(found, counts, strict=True)) / sum(counts)
    metric = build(Metric, {"name": name, "average": average})  # type: ignore[type-abstract]
    assert value(metric, output, target, 4) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["auroc", "average_precision", "recall", "balanced_accuracy"])
def test_one_class_alone_says_nothing_and_warns_of_nothing(name: str) -> None:
    metric = build(Metric, name)  # type: ignore[type-abstract]
    assert math.isnan(value(metric, torch.randn(12, 1), torch.zeros(12).long(), 1))
