"""Pareto Merging, as runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moframework import check, solve
from moframework.errors import SpecError
from moframework.losses.entropy import Entropy
from moframework.merging.pareto import ParetoMerged
from moframework.objectives.smooth_tchebycheff import SmoothTchebycheff
from moframework.preferences.dirichlet import Dirichlet
from moframework.solvers.pareto_merging import ParetoMerging
from tests.merging.two_heads import Normed
from tests.solvers.tiny import DIGITS, planned, solved, spec


@pytest.fixture(scope="module")
def solver(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("pareto")
    solve(spec("single", steps=12), folder / "base")
    solve(spec({"name": "stl", "initial": str(folder / "base")}, steps=8), folder / "tuned")
    return {"name": "pareto_merging", "members": str(folder / "tuned"), "base": str(folder / "base")}


def test_defaults(tmp_path: Path) -> None:
    method = ParetoMerging(members=tmp_path).method(2)
    assert method.weights == ParetoMerged(rank=4)
    assert method.objective == SmoothTchebycheff(mu=0.1)
    assert method.preferences == Dirichlet(concentration=1.0, per_batch=1)
    assert (method.loss, method.trains) == (None, True)
    assert ParetoMerging(members=tmp_path, loss="entropy").method(2).loss == Entropy()
    with pytest.raises(SpecError, match=r"solver.members: required"):
        planned("pareto_merging")


@pytest.mark.parametrize("loss", ["distance", "entropy"])
def test_adapters_move_and_nothing_else(loss: str, solver: dict[str, Any], tmp_path: Path) -> None:
    given = {**solver, "loss": loss}
    before = planned(given).model.state_dict()
    run = solved(given, tmp_path / "run", steps=20, optimizer={"name": "adam", "lr": 1e-2})
    after = run.model().state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed
    heads = [place for place, each in enumerate(planned(given).model.space.inner.adapted) if "heads" in each.name]
    assert heads
    for name in changed:
        kind, place = name.split(".")[2:]
        assert kind in ("a", "b", "core")
        assert int(place) not in heads
    front = run.front("test")
    assert np.ptp(front.losses, axis=0).min() > 0
    np.testing.assert_allclose(run.evaluate().losses, front.losses, rtol=1e-5)


def test_distances_read_no_data(solver: dict[str, Any], tmp_path: Path) -> None:
    """With other samples the same weights come out; towards a vertex they come nearer to that member."""
    fronts, models = [], []
    for place, problem in enumerate((DIGITS, {**DIGITS, "seed": 7})):
        run = solve({**spec(solver, problem, steps=40, optimizer={"name": "adam", "lr": 1e-2})}, tmp_path / str(place))
        fronts.append(run.front("test"))
        models.append(run.model())
    assert fronts[0] != fronts[1]
    one, other = (model.state_dict() for model in models)
    assert all(torch.equal(value, other[name]) for name, value in one.items() if name.startswith("space."))
    ready = planned(solver)
    ready.model.space.load_state_dict(models[0].space.state_dict())
    with torch.no_grad():
        losses = ready.model.space.own_losses(torch.eye(2))
    assert losses is not None
    assert losses[0, 0] < losses[1, 0]
    assert losses[1, 1] < losses[0, 1]
    assert losses.diagonal().max() < 1


def test_entropy_falls_without_labels(solver: dict[str, Any], tmp_path: Path) -> None:
    given = {**solver, "loss": "entropy", "objective": "linear"}
    run = solved(given, tmp_path / "run", steps=40, optimizer={"name": "adam", "lr": 1e-2})
    x, _ = run.spec.problem.data("train")[:64]

    def entropy(model: Any) -> float:
        outputs = model.eval()(x, [0.5, 0.5])
        return sum(float(Entropy()(output.detach(), output)) for output in outputs.values())

    assert entropy(run.model()) < entropy(planned(given).model) - 0.05
    accumulated = solved(given, tmp_path / "parts", steps=2, accumulate=4)
    whole = solved(given, tmp_path / "whole", steps=2)
    np.testing.assert_allclose(accumulated.front("test").losses, whole.front("test").losses, rtol=1e-4)


def test_what_does_not_fit_is_told(solver: dict[str, Any], tmp_path: Path) -> None:
    for options, said in (
        ({"objective": "epo"}, "solver.objective: distances are no losses of outputs"),
        ({"rank": 0}, "rank"),
        ({"loss": "entropie"}, "did you mean 'entropy'"),
    ):
        with pytest.raises(SpecError, match=said):
            check({"problem": DIGITS, "solver": {**solver, **options}})
    assert check({"problem": DIGITS, "solver": {**solver, "loss": "entropy", "objective": "epo"}})
    regression = {**DIGITS, "tasks": {"left": {"loss": "mse", "size": 1, "metrics": []}}}
    with pytest.raises(SpecError, match=r"solver.loss: entropy is that of classes, but the loss of task 'left' is MSE"):
        check({"problem": regression, "solver": {**solver, "loss": "entropy"}})


def test_statistics_are_told(tmp_path: Path) -> None:
    problem: dict[str, Any] = {**DIGITS, "backbone": {"python": f"{Normed.__module__}:Normed"}}
    solve(spec("single", problem, steps=4), tmp_path / "base")
    solve(spec({"name": "stl", "initial": str(tmp_path / "base")}, problem, steps=4), tmp_path / "tuned")
    given = {"name": "pareto_merging", "members": str(tmp_path / "tuned"), "base": str(tmp_path / "base")}
    told = "\n".join(check(spec(given, problem)))
    assert "set evaluate.batchnorm: recalibrate" in told
    assert "one class" not in told
    told = "\n".join(check(spec({**given, "loss": "entropy"}, problem)))
    assert "BatchNorm layers stay" not in told
    assert "entropy is least where all samples get one class" in told
