"""MAP, where the front is known, and as runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moframework import check, get_problem, solve
from moframework.errors import SpecError
from moframework.merging.map import sampled
from moframework.merging.quadratic import Search
from moframework.merging.tabulated import Tabulated
from moframework.solvers.map import MAP
from tests.merging.two_heads import Normed, write
from tests.solvers.tiny import DIGITS, spec

QUICK = {"generations": 20, "population": 40}


def quadratics(folder: Path, m: int, **options: Any) -> dict[str, Any]:
    """Members of the problem `quadratics`, whose losses are quadratics of c and whose front is known."""
    problem = {"name": "quadratics", "objectives": m}
    network = get_problem(**problem).backbone()
    (name,) = (name for name, _ in network.named_parameters())
    start = torch.full((m,), 0.6)
    states = {"base": start, **{f"f{t + 1}": start + 0.4 * torch.eye(m)[t] + 0.1 for t in range(m)}}
    paths = {key: str(write(folder, key, {**network.state_dict(), name: value})) for key, value in states.items()}
    solver = {"name": "map", "base": paths.pop("base"), "members": paths, "link": "identity", **options}
    return {"problem": problem, "solver": solver}


def test_defaults_are_the_papers(tmp_path: Path) -> None:
    method = MAP(members=tmp_path).method(2)
    start: Any = method.start
    assert method.weights == Tabulated()
    assert start.search == Search(bound=3.0, population=100, generations=150, seed=0)
    assert (start.link, start.evaluations, start.split) == ("softplus", None, "val")
    assert not method.trains
    with pytest.raises(SpecError, match=r"solver.members: required"):
        MAP().method(2)


@pytest.mark.parametrize("m", [2, 3])
def test_the_whole_front_of_quadratics(m: int, tmp_path: Path) -> None:
    """No member lies on the front; what is found does, and vertices are each task's optimum."""
    run = solve(quadratics(tmp_path, m), tmp_path / "run")
    front = run.front("test")
    size = 2 * (m + 1) * (m + 2) // 2
    told = ", ".join(f"1.000 (f{t + 1})" for t in range(m))
    page = (run.path / "report.txt").read_text()
    assert f"fitted to the losses of {size} coefficient vectors on 1 samples of val: R² {told}" in page
    assert "badly" not in page
    # The Pareto set is the simplex between the tasks' optima e_t.
    model = run.model()
    found = torch.stack([next(iter(model.weights(row).values())) for row in torch.from_numpy(front.preferences)])
    torch.testing.assert_close(found.sum(dim=1), torch.ones(len(found)), atol=0.01, rtol=0)
    assert found.min() > -0.01
    assert front.losses.min(axis=0).max() < 0.002
    assert front.igd_plus() < 0.05
    assert front.nondominated().all()
    for task in range(m):
        order = front.preferences[:, task].argsort()
        assert np.corrcoef(front.preferences[order, task], front.losses[order, task])[0, 1] < -0.8


def test_runs_of_a_network_with_statistics(tmp_path: Path) -> None:
    problem: dict[str, Any] = {**DIGITS, "backbone": {"python": f"{Normed.__module__}:Normed"}}
    solve(spec("single", problem, steps=8), tmp_path / "base")
    solve(spec({"name": "stl", "initial": str(tmp_path / "base")}, problem, steps=6), tmp_path / "tuned")
    solver = {"name": "map", "members": str(tmp_path / "tuned"), "base": str(tmp_path / "base"), **QUICK}
    given = {"problem": problem, "solver": solver, "evaluate": {"points": 3}}
    run = solve(given, tmp_path / "run")
    front = run.front("test")
    assert np.isfinite(front.losses).all()
    np.testing.assert_allclose(run.evaluate().losses, front.losses, rtol=1e-5)
    # On the split that was searched the vertices are no worse than the members, which are among the mixtures.
    plain = {key: value for key, value in solver.items() if key not in QUICK}
    soup = solve({**given, "solver": {**plain, "name": "soup"}}, tmp_path / "soup")
    assert (run.front("val").losses.min(axis=0) <= soup.front("val").losses.min(axis=0) + 0.02).all()
    other = solve({**given, "solver": {**solver, "split": "train", "samples": 50}}, tmp_path / "other")
    assert "on 50 samples of train" in (other.path / "report.txt").read_text()
    assert other.front("test") != front


def test_a_bad_fit_is_told(tmp_path: Path) -> None:
    """zdt1 is far from a quadratic in [−3, 3]."""
    problem = {"name": "zdt1"}
    network = get_problem(**problem).backbone()
    start = network.state_dict()
    torch.manual_seed(0)
    states = {"base": start, **{f"f{t}": {key: value + torch.randn_like(value) for key, value in start.items()}
                                for t in (1, 2)}}  # fmt: skip
    paths = {key: str(write(tmp_path, key, state)) for key, state in states.items()}
    solver = {"name": "map", "base": paths.pop("base"), "members": paths, "far": "warn", **QUICK}
    told = "\n".join(check({"problem": problem, "solver": solver}))
    assert "a quadratic fits the loss of f2 badly: R² is" in told


def test_wrong_options_are_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"solver.evaluations: a quadratic of 2 coefficients has 6 numbers.* it is 5"):
        check(quadratics(tmp_path, 2, evaluations=5))


def test_what_is_evaluated() -> None:
    points = sampled(14, 3, 0)
    assert points[:3].tolist() == torch.eye(3).tolist()
    assert points.min() >= 0
    assert points.max() <= 1
    assert (points[3::3] == points[3::3, :1]).all()
    near = (points[4::3] - torch.eye(3)[torch.arange(4) % 3]).abs()
    assert near.max() < 0.5
    assert len({tuple(row) for row in points.tolist()}) == 14
    assert torch.equal(points, sampled(14, 3, 0))
    assert not torch.equal(points, sampled(14, 3, 1))
