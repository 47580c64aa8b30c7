"""PWEMoE: routers trained between members."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from moframework import solve
from moframework.errors import SpecError
from moframework.merging.routed import Routed
from moframework.preferences.dirichlet import Dirichlet
from moframework.solvers.pwemoe import PWEMoE
from tests.solvers.tiny import planned, solved, spec


def test_defaults_are_the_papers(tmp_path: Path) -> None:
    method = PWEMoE(members=tmp_path).method(2)
    assert method.weights == Routed(groups="layer", layers=1, start=0.3)
    assert method.preferences == Dirichlet(concentration=1.0, per_batch=1)
    assert method.trains
    with pytest.raises(SpecError, match=r"solver.members: required"):
        planned("pwemoe")


def test_routers_move_and_members_do_not(tmp_path: Path) -> None:
    solve(spec("single", steps=6), tmp_path / "base")
    solve(spec({"name": "stl", "initial": str(tmp_path / "base")}, steps=4), tmp_path / "tuned")
    solver = {"name": "pwemoe", "members": str(tmp_path / "tuned"), "base": str(tmp_path / "base")}
    before = planned(solver).model.state_dict()
    run = solved({**solver, "objective": "epo", "preferences": {"name": "dirichlet", "per_batch": 2}}, tmp_path / "run")
    after = run.model().state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {"space.weight.0", "space.bias.0"}
    assert "routers: encoder.conv1, encoder.conv2" in (run.path / "report.txt").read_text()
