"""Accuracy: by hand, of pixels, of a single logit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from moframework.metrics import Accuracy
from tests.metrics.meters import value


def test_accuracy_by_hand() -> None:
    output = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.1, 0.2], [5.0, 9.0, 1.0], [1.0, 0.0, 0.0]])
    assert value(Accuracy(), output, torch.tensor([0, 2, 1, 1]), 3) == 0.75
    assert value(Accuracy(), output, torch.tensor([0, 2, -100, -100]), 3) == 1.0
    assert value(Accuracy(ignore_index=-1), output, torch.tensor([0, 0, -1, -1]), 3) == 0.5


def test_accuracy_weighs_samples_alike_not_classes() -> None:
    target = torch.tensor([0] * 9 + [1])
    output = torch.nn.functional.one_hot(torch.zeros(10, dtype=torch.long), 2).float()
    assert value(Accuracy(), output, target, 2) == pytest.approx(0.9)


def test_accuracy_of_pixels_and_shapes() -> None:
    output, target = torch.randn(4, 3, 5, 6), torch.randint(0, 3, (4, 5, 6))
    expected = sk.accuracy_score(target.flatten(), output.argmax(1).flatten())
    assert value(Accuracy(), output, target, 3) == pytest.approx(expected)
    logit = torch.randn(6, 1)
    for target in (torch.randint(0, 2, (6,)), torch.randint(0, 2, (6, 1)), torch.rand(6) > 0.5):
        expected = float(((logit > 0).flatten() == target.flatten()).float().mean())
        assert value(Accuracy(), logit, target, 1) == pytest.approx(expected)


def test_nothing_counted_is_nan() -> None:
    assert np.isnan(value(Accuracy(), torch.randn(2, 3), torch.tensor([-100, -100]), 3, chunks=1))


def test_the_sign_decides_a_logit_even_where_all_look_like_probabilities() -> None:
    output = torch.tensor([[0.1], [0.4], [0.2], [0.9]])  # all mean class 1
    assert value(Accuracy(), output, torch.tensor([1, 1, 1, 0]), 1) == 0.75
