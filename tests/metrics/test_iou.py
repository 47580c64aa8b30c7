"""Intersection over union: by hand, against scikit-learn, over the data and over images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from moframework.metrics import IoU
from tests.metrics.meters import value


def test_iou_as_scikit_learn() -> None:
    torch.manual_seed(0)
    output, target = torch.randn(6, 5, 4, 4), torch.randint(0, 4, (6, 4, 4))
    predicted = output.argmax(1)
    expected = sk.jaccard_score(target.flatten(), predicted.flatten(), average="macro")
    assert value(IoU(), output, target, 5) == pytest.approx(expected)
    target[0] = -1
    expected = sk.jaccard_score(target[1:].flatten(), predicted[1:].flatten(), average="macro")
    assert value(IoU(ignore_index=-1), output, target, 5) == pytest.approx(expected)


def test_iou_by_hand() -> None:
    predicted = torch.tensor([[0, 0, 1, 1]])
    output = torch.nn.functional.one_hot(predicted, 3).movedim(-1, 1).float()
    target = torch.tensor([[0, 1, 1, 1]])
    # class 0: 1/2, class 1: 2/3, class 2 neither occurs nor is predicted
    assert value(IoU(), output, target, 3, chunks=1) == pytest.approx((1 / 2 + 2 / 3) / 2)
    logit = torch.tensor([[[-1.0, -1.0, 1.0, 1.0]]])
    assert value(IoU(), logit, target, 1, chunks=1) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_iou_over_images_is_the_mean_of_theirs() -> None:
    torch.manual_seed(0)
    output, target = torch.randn(6, 4, 3, 3), torch.randint(0, 3, (6, 3, 3))
    target[1, 0] = -1
    target[2] = -1  # an image of which nothing counts
    predicted, expected = output.argmax(1), []
    for image in (0, 1, 3, 4, 5):
        counts = target[image] != -1
        expected.append(sk.jaccard_score(target[image][counts], predicted[image][counts], average="macro"))
    assert value(IoU(over="image", ignore_index=-1), output, target, 4) == pytest.approx(np.mean(expected))
    assert value(IoU(over="image", ignore_index=-1), output, target, 4, chunks=1) == pytest.approx(np.mean(expected))


def test_iou_over_images_of_one_logit() -> None:
    logit = torch.tensor([[[[-1.0, -1.0, 1.0, 1.0]]], [[[1.0, 1.0, 1.0, 1.0]]]])
    target = torch.tensor([[[0, 1, 1, 1]], [[1, 1, 1, 1]]])
    assert value(IoU(over="image"), logit, target, 1) == pytest.approx(((1 / 2 + 2 / 3) / 2 + 1) / 2)
