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


@pytest.mark.parametrize("ignored", [0, 2, 3, -1])
def test_iou_means_the_same_over_one_image_and_over_the_data(ignored: int) -> None:
    torch.manual_seed(0)
    output, target = torch.randn(5, 4, 6, 6), torch.randint(0, 4, (5, 6, 6))
    target[:, 0] = ignored
    predicted, expected = output.argmax(1), []
    kept = [c for c in range(4) if c != ignored]
    for image in range(5):
        counts = target[image] != ignored
        own = sk.jaccard_score(target[image][counts], predicted[image][counts], labels=kept, average="macro")
        one = slice(image, image + 1)
        for over in ("image", "data"):
            found = value(IoU(over=over, ignore_index=ignored), output[one], target[one], 4, chunks=1)
            assert found == pytest.approx(own), over
        expected.append(own)
    assert value(IoU(over="image", ignore_index=ignored), output, target, 4) == pytest.approx(np.mean(expected))


def test_iou_of_an_ignored_class_by_hand() -> None:
    predicted, target = torch.tensor([[0, 1, 1, 2]]), torch.tensor([[0, 0, 1, 1]])
    output = torch.nn.functional.one_hot(predicted, 3).movedim(-1, 1).float()
    # pixels of class 0 do not count: of two pixels of class 1 one is found, the other is taken for class 2
    for over in ("image", "data"):
        assert value(IoU(over=over, ignore_index=0), output, target, 3, chunks=1) == pytest.approx((1 / 2 + 0) / 2)
        # and what is taken for the class that does not count is a miss of the other
        assert value(IoU(over=over, ignore_index=2), output, target, 3, chunks=1) == pytest.approx((1 / 2 + 1 / 3) / 2)
    logit = torch.tensor([[[-1.0, 1.0, 1.0, -1.0]]])
    for over in ("image", "data"):  # of class 1 one pixel of two is found
        assert value(IoU(over=over, ignore_index=0), logit, target, 1, chunks=1) == pytest.approx(1 / 2)
