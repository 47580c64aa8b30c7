"""PHN-HVI: a hypernetwork that enlarges the hypervolume."""

from __future__ import annotations

from pathlib import Path

from moframework.objectives.hypervolume_gradient import HypervolumeGradient
from moframework.preferences.stratified import Stratified
from moframework.solvers.phn_hvi import PHNHVI
from tests.solvers.tiny import solved


def test_defaults_are_the_papers() -> None:
    method = PHNHVI().method(2)
    assert method.preferences == Stratified(margin=0.1, per_batch=16)
    assert isinstance(method.objective, HypervolumeGradient)
    assert method.objective.coefficient == 5.0


def test_solves(tmp_path: Path) -> None:
    solved({"name": "phn_hvi", "weights": {"name": "chunked_hypernetwork", "chunk": 256}}, tmp_path / "run")
