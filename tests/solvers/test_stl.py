"""One network a task."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from moframework.solvers.stl import SingleTask
from moframework.weights.finite import Finite
from tests.solvers.tiny import solved


@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_every_task_has_its_vertex(m: int) -> None:
    method = SingleTask().method(m)
    assert isinstance(method.weights, Finite)
    anchors = torch.tensor(method.weights.anchors)
    assert sorted(anchors.tolist()) == sorted(torch.eye(m).tolist())
    assert torch.equal(method.preferences.draw(0.5, method.preferences.count(m), m, torch.Generator()), anchors)


def test_each_network_minimizes_its_own_loss(tmp_path: Path) -> None:
    problem = {"name": "quadratics", "objectives": 3}
    run = solved("stl", tmp_path / "run", problem, steps=80, batch_size=1, optimizer={"name": "adam", "lr": 0.2})
    front = run.front("test")
    own = (front.losses * front.preferences).sum(axis=1)
    assert own.max() < 1e-3
    assert front.losses[front.preferences == 0].min() > 0.9  # the optimum of one task is at loss 1 of the others
    assert run.summary()["parameters"] == 3 * run.summary()["backbone_parameters"]
