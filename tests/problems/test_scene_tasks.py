"""The three dense tasks: what does not count is left out of losses and metrics alike."""

from __future__ import annotations

import math

import pytest
import torch
from moframework.problems import scene_tasks
from torch import Tensor

from moframework.augmentations.base import check_maps
from moframework.problem.task import Task


def values(task: Task, output: Tensor, target: Tensor) -> dict[str, float]:
    found = {"loss": float(task.loss(output, target))}
    for metric in task.metrics:
        meter = metric.make(task.size)
        meter.update(output, target)
        found[metric.label] = float(meter.compute())
    return found


def test_segmentation() -> None:
    task = scene_tasks.segmentation(3)
    target = torch.tensor([[[0, 1], [2, -1]]])
    output = torch.zeros(1, 3, 2, 2)
    output[0, 0] = 5.0  # class 0 everywhere
    found = values(task, output, target)
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert found["iou"] == pytest.approx(1 / 9)
    right, wrong = math.log(1 + 2 * math.exp(-5)), 5 + math.log(1 + 2 * math.exp(-5))
    assert found["loss"] == pytest.approx((right + 2 * wrong) / 3, rel=1e-5)


def test_depth() -> None:
    target = torch.tensor([[[[2.0, 4.0], [0.0, 5.0]]]])
    found = values(scene_tasks.depth(), torch.tensor([[[[3.0, 4.0], [9.0, 3.0]]]]), target)
    assert found == pytest.approx({"loss": 1.0, "mae": 1.0, "relative_error": (0.5 + 0.4) / 3})


def test_normal() -> None:
    target = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]).T.view(1, 3, 1, 3)
    turned = math.radians(20)
    output = torch.tensor([[0.0, math.sin(turned), math.cos(turned)], [0.0, 3.0, 0.0], [1.0, 0.0, 0.0]]).T.view(
        1, 3, 1, 3
    )
    found = values(scene_tasks.normal(), output, target)
    assert found["loss"] == pytest.approx((1 - math.cos(turned)) / 2, rel=1e-5)
    assert found["mean_angle"] == pytest.approx(10, rel=1e-5)
    assert [found[f"within_{bound}"] for bound in ("11.25", "22.5", "30")] == [0.5, 1, 1]


def test_maps_are_of_the_tasks_targets() -> None:
    targets = {"segmentation": torch.zeros(2, 4, 6, dtype=torch.long), "depth": torch.zeros(2, 1, 4, 6)}
    targets["normal"] = torch.zeros(2, 3, 4, 6)
    assert {
        task.target_key for task in (scene_tasks.segmentation(2), scene_tasks.depth(), scene_tasks.normal())
    } == set(scene_tasks.MAPS)
    check_maps(torch.zeros(2, 3, 4, 6), targets, scene_tasks.MAPS)
