"""Precision, recall and balanced accuracy: against scikit-learn."""

from __future__ import annotations

import pytest
import torch
from sklearn import metrics as sk

from moframework.config import build
from moframework.metrics import BalancedAccuracy, Metric, Precision, Recall
from tests.metrics.meters import value


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@pytest.mark.parametrize("name", ["precision", "recall"])
def test_of_several_classes(name: str, average: str) -> None:
    torch.manual_seed(0)
    output, target = torch.randn(60, 5), torch.randint(0, 4, (60,))  # class 4 never occurs, but is predicted
    target[:7] = -100
    score = sk.precision_score if name == "precision" else sk.recall_score
    expected = score(target[7:], output[7:].argmax(1), average=average, zero_division=0)
    metric = build(Metric, {"name": name, "average": average})  # type: ignore[type-abstract]
    assert value(metric, output, target, 5) == pytest.approx(expected)


def test_of_one_logit_they_are_those_of_class_1() -> None:
    torch.manual_seed(0)
    output, target = torch.randn(60, 1), torch.randint(0, 2, (60,))
    said = output[:, 0] > 0
    assert value(Precision(), output, target, 1) == pytest.approx(sk.precision_score(target, said))
    assert value(Recall(), output, target, 1) == pytest.approx(sk.recall_score(target, said))
    assert value(Precision(), -output.abs(), target, 1) == 0


@pytest.mark.parametrize("size", [1, 4])
def test_balanced_accuracy(size: int) -> None:
    torch.manual_seed(1)
    output = torch.randn(60, size)
    target = torch.randint(0, 2, (60,))  # with size 4 two classes never occur, but are predicted
    said = output.argmax(1) if size > 1 else (output[:, 0] > 0).long()
    occurring = said < 2
    expected = sum(float((said[target == c] == c).double().mean()) for c in (0, 1)) / 2
    assert value(BalancedAccuracy(), output, target, size) == pytest.approx(expected)
    if bool(occurring.all()):
        assert expected == pytest.approx(sk.balanced_accuracy_score(target, said))
