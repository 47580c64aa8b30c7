"""Discrete multi-point: K networks by any objective."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from moframework.config import entries
from moframework.errors import SpecError
from moframework.objectives import Objective
from moframework.preferences.grid import Grid
from moframework.solvers.multipoint import Multipoint
from moframework.weights.finite import Finite
from tests.solvers.tiny import parts, solved

OBJECTIVES = [entry.name for entry in entries("objectives") if entry.package == "moframework"]
HEADS = {"bayes_agg", "rotograd"}  # their features are those that heads read, which formulas do not have


def test_parts() -> None:
    method = Multipoint(points=3, margin=0.1).method(2)
    assert method.preferences == Grid(margin=0.1, per_batch=3)
    assert isinstance(method.weights, Finite)
    torch.testing.assert_close(torch.tensor(method.weights.anchors), torch.tensor([[0.1, 0.9], [0.5, 0.5], [0.9, 0.1]]))
    assert not Multipoint.continuous


@pytest.mark.parametrize("name", sorted({*OBJECTIVES} - HEADS))
def test_solves_by_every_objective(name: str, tmp_path: Path) -> None:
    cls = Objective.lookup(name)
    assert issubclass(cls, Objective)
    faults = cls().faults(2, 3)
    if faults:
        with pytest.raises(SpecError, match=r"solver\.objective"):
            parts({"name": "multipoint", "points": 3, "objective": name})
        return
    options = {"name": "multipoint", "points": 3, "margin": 0.1, "objective": name}
    if name == "contrastive":
        with pytest.raises(SpecError, match="computes nothing"):
            solved(options, tmp_path / "run", {"name": "quadratics"}, batch_size=1)
        return
    run = solved(options, tmp_path / "run", {"name": "quadratics"}, batch_size=1)
    assert len(run.front("test").losses) == 3


def test_too_few_networks_are_refused() -> None:
    with pytest.raises(SpecError, match="2 networks cannot cover 3 tasks"):
        Multipoint(points=2).method(3)
