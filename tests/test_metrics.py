"""Metrics: against hand-computed values and scikit-learn, over batches, with ignored values and half precision."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch import Tensor

from moframework.config import build
from moframework.metrics import F1, MAE, MSE, Accuracy, GroupGap, IoU, Metric


def value(metric: Metric, output: Tensor, target: Tensor, size: int, chunks: int = 3) -> float:
    meter = metric.make(size)
    for o, t in zip(output.tensor_split(chunks), target.tensor_split(chunks), strict=True):
        meter.update(o, t)
    return float(meter.compute())


def test_accuracy_by_hand() -> None:
    output = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.1, 0.2], [5.0, 9.0, 1.0], [1.0, 0.0, 0.0]])
    assert value(Accuracy(), output, torch.tensor([0, 2, 1, 1]), 3) == 0.75
    assert value(Accuracy(), output, torch.tensor([0, 2, -100, -100]), 3) == 1.0
    assert value(Accuracy(ignore_index=-1), output, torch.tensor([0, 0, -1, -1]), 3) == 0.5


def test_accuracy_weighs_samples_alike_not_classes() -> None:
    target = torch.tensor([0] * 9 + [1])
    output = torch.nn.functional.one_hot(torch.zeros(10, dtype=torch.long), 2).float()
    assert value(Accuracy(), output, target, 2) == pytest.approx(0.9)


def test_the_sign_decides_a_logit_even_where_all_look_like_probabilities() -> None:
    output = torch.tensor([[0.1], [0.4], [0.2], [0.9]])  # all mean class 1
    target = torch.tensor([1, 1, 1, 0])
    assert value(Accuracy(), output, target, 1) == 0.75
    assert value(F1(), output, target, 1) == pytest.approx(sk.f1_score(target, np.ones(4)))


def test_accuracy_of_pixels_and_shapes() -> None:
    output, target = torch.randn(4, 3, 5, 6), torch.randint(0, 3, (4, 5, 6))
    expected = sk.accuracy_score(target.flatten(), output.argmax(1).flatten())
    assert value(Accuracy(), output, target, 3) == pytest.approx(expected)
    logit = torch.randn(6, 1)
    for target in (torch.randint(0, 2, (6,)), torch.randint(0, 2, (6, 1)), torch.rand(6) > 0.5):
        expected = float(((logit > 0).flatten() == target.flatten()).float().mean())
        assert value(Accuracy(), logit, target, 1) == pytest.approx(expected)


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


@pytest.mark.parametrize("metric", [Accuracy(), F1(), IoU(), MAE(), MSE()], ids=lambda m: m.label)
def test_every_metric(metric: Metric) -> None:
    torch.manual_seed(0)
    regression = not metric.higher_is_better
    size = 1 if regression else 3
    output = torch.randn(12, size)
    target = torch.randn(12) if regression else torch.randint(0, 3, (12,))
    whole = value(metric, output, target, size, chunks=1)
    assert value(metric, output, target, size, chunks=5) == pytest.approx(whole, rel=1e-6)
    assert (metric.worst == 0) == metric.higher_is_better

    meter = metric.make(size)
    meter.update(output, target)
    meter.reset()
    meter.update(output[:6].bfloat16(), target[:6])
    half = float(meter.compute())
    assert half == pytest.approx(value(metric, output[:6].bfloat16().float(), target[:6], size), rel=1e-6)
    assert build(Metric, metric.label) == metric  # type: ignore[type-abstract]


def test_the_gap_of_decisions_by_hand() -> None:
    """Class 1 is decided for 2 of 3 of group 1 and 1 of 4 of group 0; one sample is in neither."""
    chosen = torch.tensor([1, 1, 0, 1, 0, 0, 0, 1])
    target = torch.tensor([1, 1, 1, 0, 0, 0, 0, -100])
    logit = (2.0 * chosen - 1) * torch.rand(8)
    for output, size in ((logit.unsqueeze(1), 1), (torch.stack([-logit, logit], dim=1), 2)):
        for given in (target, torch.where(target == -100, target, 1 - target)):  # whichever group is ahead
            for chunks in (1, 3):
                assert value(GroupGap(), output, given, size, chunks=chunks) == pytest.approx(2 / 3 - 1 / 4)


def test_the_gap_of_decisions_without_a_group_is_nan_and_a_meter_can_be_used_again() -> None:
    meter = GroupGap().make(2)
    meter.update(torch.tensor([[0.0, 1.0]]), torch.tensor([1]))
    assert np.isnan(float(meter.compute()))
    meter.reset()
    meter.update(torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.tensor([1, 0]))
    assert float(meter.compute()) == 0
    assert (GroupGap().label, GroupGap.higher_is_better, GroupGap.worst) == ("gap", False, 1.0)
    assert build(Metric, "group_gap") == GroupGap()  # type: ignore[type-abstract]


def test_nothing_counted_is_nan() -> None:
    assert np.isnan(value(Accuracy(), torch.randn(2, 3), torch.tensor([-100, -100]), 3, chunks=1))


def test_shapes_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="do not go together"):
        MAE().make(1).update(torch.zeros(4, 2), torch.zeros(4))


def test_importing_the_module_does_not_import_torchmetrics() -> None:
    code = "import sys, moframework.metrics; sys.exit('torchmetrics' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("metric", [Accuracy(), GroupGap(), MAE(invalid=0.0), MSE()], ids=lambda m: m.label)
def test_updates_read_nothing_back_from_the_device(metric: Metric) -> None:
    """Tensors on the meta device have no values: whatever reads one, or selects by a mask, fails there."""
    meter = metric.make(1).to("meta")
    meter.update(torch.empty(4, 1, device="meta"), torch.empty(4, device="meta"))
    assert meter.compute().device.type == "meta"
