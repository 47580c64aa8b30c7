"""PHN: a hypernetwork, linear or EPO."""

from __future__ import annotations

from pathlib import Path

import pytest

from moframework.preferences.dirichlet import Dirichlet
from moframework.solvers.phn import PHN
from moframework.weights.hypernetwork import Hypernetwork
from tests.solvers.tiny import solved


def test_defaults_are_the_papers() -> None:
    method = PHN().method(2)
    assert method.weights == Hypernetwork(hidden=(100, 100))
    assert method.preferences == Dirichlet(concentration=0.2, per_batch=1)


@pytest.mark.parametrize("objective", ["linear", "epo"])
@pytest.mark.parametrize("weights", ["hypernetwork", "chunked_hypernetwork"])
def test_solves(objective: str, weights: str, tmp_path: Path) -> None:
    solved({"name": "phn", "objective": objective, "weights": weights}, tmp_path / "run")
