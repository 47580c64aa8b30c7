"""The solver `experts`."""

from __future__ import annotations

from pathlib import Path

import torch

from moframework.solvers.experts import Experts
from moframework.weights.experts import Experts as ExpertsWeights
from tests.solvers.tiny import solved


def test_parts() -> None:
    assert Experts(count=8).method(2).weights == ExpertsWeights(count=8)


def test_solves_and_preferences_differ(tmp_path: Path) -> None:
    space = (
        solved({"name": "experts", "count": 3}, tmp_path / "run", optimizer={"name": "adam", "lr": 0.01}).model().space
    )
    first, second = space.weights_of(torch.eye(2))
    assert any(not torch.equal(value, second[name]) for name, value in first.items())
