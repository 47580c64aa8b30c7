"""Cross-entropy: weights of classes, kinds of targets, targets that cannot be right."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor
from torch.nn import functional as F

from moframework.losses import BinaryCrossEntropy, CrossEntropy, Loss


def test_samples_without_weight_count_for_nothing() -> None:
    loss = CrossEntropy(weight=(0.0, 1.0))
    output, target = torch.randn(6, 2), torch.tensor([0, 0, 1, 0, 1, 0])
    torch.testing.assert_close(loss(output, target), F.cross_entropy(output[target == 1], target[target == 1]))
    assert loss(output[:2], target[:2]) == 0


def test_binary_targets_of_any_kind() -> None:
    output = torch.randn(4, 1)
    integers = torch.tensor([0, 1, 1, 0])
    expected = BinaryCrossEntropy()(output, integers)
    for target in (integers.bool(), integers.float(), integers.unsqueeze(1), integers.to(torch.uint8)):
        torch.testing.assert_close(BinaryCrossEntropy()(output, target), expected)


def test_constants_made_in_inference_mode_can_train_later() -> None:
    loss = CrossEntropy(weight=(0.3, 0.7))
    output, target = torch.randn(4, 2, requires_grad=True), torch.tensor([0, 1, 1, 0])
    with torch.inference_mode():
        loss(output, target)
    loss(output, target).backward()


def test_balanced_classes_weigh_as_scikit_learn_has_it() -> None:
    target = torch.tensor([0, 0, 0, 2, 2, -100, 0])  # class 1 never occurs
    loss = CrossEntropy(weight="balanced")
    assert not loss.is_fitted
    fitted = loss.fitted([target[:4], target[4:]], 3)
    zero, two = compute_class_weight("balanced", classes=np.array([0, 2]), y=target[target >= 0].numpy())
    assert fitted.is_fitted
    assert fitted.weight == pytest.approx((zero, 1.0, two))
    binary = BinaryCrossEntropy(positive_weight="balanced").fitted(
        [torch.tensor([1.0, 0.0, float("nan"), 0.0, 0.0])], 1
    )
    assert binary.positive_weight == 3


def test_balanced_classes_need_counts_and_both_classes() -> None:
    with pytest.raises(ValueError, match="weight is balanced: its numbers come from the training data"):
        CrossEntropy(weight="balanced")(torch.zeros(2, 2), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="positive_weight is balanced"):
        BinaryCrossEntropy(positive_weight="balanced")(torch.zeros(2, 1), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="samples of both classes, but has 2 positive ones of 2"):
        BinaryCrossEntropy(positive_weight="balanced").fitted([torch.ones(2)], 1)
    with pytest.raises(ValueError, match="there is none"):
        CrossEntropy(weight="balanced").fitted([torch.tensor([-100])], 2)


@pytest.mark.parametrize(
    ("loss", "output", "target", "words"),
    [
        (CrossEntropy(), torch.zeros(4, 3), torch.zeros(4, 1, dtype=torch.long), r"\(4, 3\) and \(4, 1\)"),
        (CrossEntropy(), torch.zeros(4, 3), torch.zeros(4), "integer classes"),
        (BinaryCrossEntropy(), torch.zeros(4, 2), torch.zeros(4), r"binary_cross_entropy needs .* \(4, 2\) and \(4,\)"),
    ],
)
def test_shapes_that_do_not_match_are_refused(loss: Loss, output: Tensor, target: Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        loss(output, target)


@pytest.mark.parametrize(
    ("loss", "target", "size", "words"),
    [
        (CrossEntropy(), torch.tensor([1, 2, 10]), 10, "run from 1 to 10, but size 10 allows 0 to 9"),
        (CrossEntropy(), torch.tensor([-1, 2]), 10, "run from -1"),
        (CrossEntropy(), torch.tensor([0.0]), 10, "integer classes"),
        (CrossEntropy(), torch.tensor([0]), 1, "at least 2"),
        (CrossEntropy(weight=(1.0, 1.0)), torch.tensor([0]), 3, "2 class weights for 3"),
        (BinaryCrossEntropy(), torch.tensor([0, 1, 2]), 1, "from 0 to 2"),
    ],
)
def test_targets_that_cannot_be_right_are_told(loss: Loss, target: Tensor, size: int, words: str) -> None:
    fault = loss.fault(target, size)
    assert fault is not None
    assert words in fault


@pytest.mark.parametrize(
    ("loss", "target", "size"),
    [
        (CrossEntropy(), torch.tensor([-100, 0, 9]), 10),
        (CrossEntropy(), torch.tensor([-100]), 10),
        (CrossEntropy(ignore_index=-1), torch.tensor([-1, 0, 9]), 10),
        (BinaryCrossEntropy(), torch.tensor([0, 1, -100]), 1),
    ],
)
def test_targets_that_are_right_pass(loss: Loss, target: Tensor, size: int) -> None:
    assert loss.fault(target, size) is None
