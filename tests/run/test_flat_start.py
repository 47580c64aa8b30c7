"""A note where a training starts on flat losses, and none elsewhere."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from moframework import solve
from moframework.run.flat_start import FlatStart


def told(gradient: float | None, done: int = 1, **options: Any) -> list[str]:
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = None if gradient is None else torch.tensor([0.0, -gradient, gradient / 2])
    notes: list[str] = []
    group = {"params": [weight, torch.nn.Parameter(torch.zeros(0))], "lr": 1e-3, **options}
    loop: Any = SimpleNamespace(
        done=done,
        sharded=None,
        optimizer=SimpleNamespace(param_groups=[group]),
        observer=SimpleNamespace(noted=notes.append),
    )
    FlatStart().after_step(loop)
    return notes


def test_gradients_below_the_eps_of_an_optimizer() -> None:
    (note,) = told(1e-11, eps=1e-8)
    assert "its first gradient is 1.0e-11, less than the eps of 1e-08" in note
    assert "about 1e-03 of the learning rate" in note
    assert "problem.spread" in note
    assert told(1e-7, eps=1e-8) == []


def test_gradients_below_rounding_and_of_zero() -> None:
    (note,) = told(1e-6)
    assert "at a learning rate of 0.001 below what float32 resolves" in note
    assert told(1e-2) == []
    assert told(1e-6, initial_lr=1.0) == [], "a rate that warms up"
    (none,) = told(0.0, eps=1e-8)
    assert "no step changes a weight" in none
    assert told(None) == []


@pytest.mark.parametrize("done", [0, 2])
def test_only_the_first_step_of_a_training_is_looked_at(done: int) -> None:
    assert told(0.0, done=done) == []


@pytest.mark.parametrize(("spread", "flat"), [(1.0, True), (0.1, False)])
def test_vlmop2_in_its_published_box(spread: float, flat: bool, tmp_path: Path) -> None:
    spec = {
        "problem": {"name": "vlmop2", "variables": 10, "spread": spread},
        "solver": {"name": "phn", "objective": "epo"},
        "training": {"steps": 2, "batch_size": 1, "device": "cpu", "optimizer": {"name": "adam", "lr": 1e-3}},
        "evaluate": {"every": 0, "points": 3},
    }
    run = solve(spec, out=tmp_path / "run")
    assert ("Training starts where losses are flat" in (run.path / "report.txt").read_text()) == flat
