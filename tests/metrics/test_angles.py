"""Angles: in closed form, against numpy's median, with unknown targets."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from moframework.metrics import AngleWithin, MeanAngle, MedianAngle
from moframework.metrics.angles import angles
from tests.metrics.meters import value


@pytest.mark.parametrize("degrees", [0.0, 1e-4, 0.3, 11.25, 90.0, 179.99, 180.0])
def test_angles_in_closed_form(degrees: float) -> None:
    turned = torch.tensor([[math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0.0]])
    found, known = angles(3 * turned, torch.tensor([[2.0, 0.0, 0.0]]))
    assert float(found) == pytest.approx(degrees, abs=2e-5, rel=1e-4)
    assert bool(known)


def test_unknown_targets_and_outputs_without_direction() -> None:
    output = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    target = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    found, known = angles(output, target)
    assert known.tolist() == [False, True, True]
    assert found[1:].tolist() == pytest.approx([90, 45])
    assert value(MeanAngle(), output, target, 3) == pytest.approx(67.5)
    assert value(MedianAngle(), output, target, 3) == pytest.approx(45, abs=0.005)
    assert value(AngleWithin(degrees=60), output, target, 3) == pytest.approx(0.5)
    for metric in (MeanAngle(), MedianAngle(), AngleWithin()):
        assert np.isnan(value(metric, output[:1], target[:1], 3, chunks=1))


def test_against_the_arc_cosine_and_numpy() -> None:
    torch.manual_seed(0)
    output, target = torch.randn(7, 3, 5, 6), torch.randn(7, 3, 5, 6)
    output = target + 0.5 * output
    o, t = (v.movedim(1, -1).reshape(-1, 3).double().numpy() for v in (output, target))
    cosines = (o * t).sum(1) / np.linalg.norm(o, axis=1) / np.linalg.norm(t, axis=1)
    expected = np.degrees(np.arccos(cosines))
    assert value(MeanAngle(), output, target, 3) == pytest.approx(expected.mean(), rel=1e-5)
    lower = np.sort(expected)[(len(expected) - 1) // 2]
    assert value(MedianAngle(), output, target, 3) == pytest.approx(lower, abs=0.0051)
    for degrees in (11.25, 22.5, 30.0):
        share = (expected < degrees).mean()
        assert 0 < share < 1
        assert value(AngleWithin(degrees=degrees), output, target, 3) == pytest.approx(share)


def test_labels_tell_the_bounds_apart() -> None:
    assert [AngleWithin(degrees=d).label for d in (11.25, 22.5, 30)] == ["within_11.25", "within_22.5", "within_30"]


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"of one shape, but have \(2, 3, 4\) and \(2, 3, 5\)"):
        MeanAngle().make(3).update(torch.zeros(2, 3, 4), torch.zeros(2, 3, 5))
