"""F1: against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from moframework.config import build
from moframework.metrics import F1, Metric
from tests.metrics.meters import value


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
def test_f1_as_scikit_learn(average: str) -> None:
    torch.manual_seed(0)
    output, target = torch.randn(60, 5), torch.randint(0, 4, (60,))  # class 4 never occurs, but is predicted
    target[:7] = -100
    expected = sk.f1_score(target[7:], output[7:].argmax(1), average=average)
    metric = build(Metric, {"name": "f1", "average": average})  # type: ignore[type-abstract]
    assert value(metric, output, target, 5) == pytest.approx(expected)


def test_f1_of_one_logit_is_that_of_class_1() -> None:
    torch.manual_seed(0)
    output, target = torch.randn(60, 1), torch.randint(0, 2, (60,))
    assert value(F1(), output, target, 1) == pytest.approx(sk.f1_score(target, output[:, 0] > 0))
    with_gaps = torch.where(torch.arange(60) < 20, -100, target)
    assert value(F1(), output, with_gaps, 1) == pytest.approx(sk.f1_score(target[20:], output[20:, 0] > 0))


def test_the_sign_decides_a_logit_even_where_all_look_like_probabilities() -> None:
    output = torch.tensor([[0.1], [0.4], [0.2], [0.9]])  # all mean class 1
    target = torch.tensor([1, 1, 1, 0])
    assert value(F1(), output, target, 1) == pytest.approx(sk.f1_score(target, np.ones(4)))
