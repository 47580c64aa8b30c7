"""Analytic problems through the whole framework: engine, evaluation, refusals, references."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from moframework.problems.quadratics import Quadratics
from moframework.problems.zdt import ZDT1
from torch import Tensor

from moframework import check, solve
from moframework.config import config, unstructure
from moframework.errors import DataError, SpecError
from moframework.losses import Loss
from moframework.pareto.front import Front
from moframework.problem import get_problem
from moframework.problem.analytic import AnalyticProblem, simplex_points


@config
class Parabolas(AnalyticProblem):
    """The least that a problem must say: x² and (x − 1)²."""

    @property
    def n(self) -> int:
        return 1

    @property
    def m(self) -> int:
        return 2

    def evaluate(self, x: Tensor) -> Tensor:
        return torch.cat([x**2, (x - 1) ** 2], dim=1)


def solved(tmp_path: Path, problem: Any, solver: Any, steps: int, lr: float, **evaluate: Any) -> Front:
    """A run of one epoch."""
    spec = {
        "problem": {**problem, "copies": steps},
        "solver": solver,
        "training": {
            "epochs": 1,
            "device": "cpu",
            "batch_size": 1,
            "optimizer": {"name": "adam", "lr": lr},
            "scheduler": {"name": "cosine_annealing", "interval": "step"},
        },
        "evaluate": {"every": 0, **evaluate},
    }
    return solve(spec, tmp_path / "run").front("test")


def test_facts_of_the_network_and_data() -> None:
    problem = ZDT1(variables=3)
    assert [task.name for task in problem.tasks] == ["f1", "f2"]
    assert problem.outputs == {"x": 3}
    assert problem.input_shape == (1,)
    assert [len(problem.data(split)) for split in ("train", "val", "test")] == [1, 1, 1]
    copied = ZDT1(copies=7)
    assert [len(copied.data(split)) for split in ("train", "val", "test")] == [7, 1, 1]
    x = problem.backbone()(torch.ones(1, 1))["x"]
    assert ((x > 0) & (x < 1)).all()
    problem.check()
    assert problem.true_front is problem.true_front, "kept, since every evaluation asks"
    with pytest.raises(ValueError, match="there is no split 'training'"):
        problem.data("training")  # type: ignore[arg-type]


def test_losses_are_the_functions_and_can_be_written() -> None:
    problem = Quadratics(objectives=3)
    x = torch.randn(4, 3)
    for t, task in enumerate(problem.tasks):
        assert task.loss(x, torch.zeros(4)).item() == pytest.approx(float(problem.evaluate(x)[:, t].mean()))
        written = unstructure(task.loss)
        assert written["index"] == t
        from moframework.config import build

        assert build(Loss, written) == task.loss  # type: ignore[type-abstract]


def test_what_is_not_known_is_none(tmp_path: Path) -> None:
    problem = Parabolas()
    assert (problem.true_front, problem.hypervolume(), problem.reference, problem.bounds) == (None, None, None, None)
    front = solved(tmp_path, unstructure(problem), {"name": "multipoint", "points": 3}, 200, lr=0.1)
    np.testing.assert_allclose(front.losses, [[1, 0], [0.25, 0.25], [0, 1]], atol=1e-3)
    assert front.reference is not None, "the losses of the untrained network stand in"
    assert front.igd() is None


def test_a_finite_set_ends_on_the_true_front(tmp_path: Path) -> None:
    """Each network's optimum is known: x = λ."""
    front = solved(tmp_path, {"name": "quadratics"}, {"name": "multipoint", "points": 5}, 200, lr=0.1)
    q = (front.preferences**2).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(front.losses, 0.5 * (q + 1) - front.preferences, atol=2e-3)
    assert (front.igd_plus() or 1) < 0.06


@pytest.mark.parametrize("objectives", [2, 3])
def test_low_rank_adapters_of_a_linear_layer_hold_the_whole_front(tmp_path: Path, objectives: int) -> None:
    problem: dict[str, Any] = {"name": "quadratics", "form": "linear", "objectives": objectives}
    solver = {"name": "palora", "rank": 1, "preferences": {"name": "dirichlet", "per_batch": 2}}
    points = {2: 101, 3: 1891}[objectives]
    front = solved(tmp_path, problem, solver, 300, lr=0.03, points=points)
    exact = get_problem("quadratics", objectives=objectives).hypervolume()  # type: ignore[attr-defined]
    assert 0.99 * exact < front.hypervolume() < exact
    assert (front.controllability() < -0.98).all()


def test_low_rank_adapters_refuse_a_bare_vector() -> None:
    with pytest.raises(SpecError, match="need at least one Linear"):
        check({"problem": "zdt1", "solver": "palora"})


def test_a_sample_cannot_be_split_among_preferences() -> None:
    solver = {"name": "palora", "preferences": {"name": "dirichlet", "batch": "split"}}
    with pytest.raises(DataError, match="a batch of 1 samples cannot be split among 5 preferences"):
        check({"problem": {"name": "zdt1", "form": "linear"}, "solver": solver})


def test_copies_can_be_split_among_preferences(tmp_path: Path) -> None:
    """Each preference sees one copy, so that a step costs what it should, and ends where a shared batch does."""
    fronts = []
    for batch, size in (("shared", 1), ("split", 4)):
        solver = {"name": "palora", "rank": 1, "preferences": {"name": "grid", "per_batch": 4, "batch": batch}}
        problem = {"name": "quadratics", "form": "linear", "copies": size * 3}
        spec = {"problem": problem, "solver": solver, "training": {"epochs": 2, "batch_size": size, "device": "cpu"}}
        fronts.append(solve(spec, tmp_path / batch).front("test"))
    np.testing.assert_allclose(fronts[0].losses, fronts[1].losses, rtol=1e-5)


def test_defaults_work(tmp_path: Path) -> None:
    """Nothing but problem, solver and budget: validation at each step, batches larger than the data."""
    run = solve({"problem": "zdt2", "solver": "multipoint", "training": {"steps": 3}}, tmp_path / "run")
    assert run.front("val") == Front(**{**_fields(run.front("test")), "split": "val"})
    assert run.front("test").reference == (1.1, 1.1)


def _fields(front: Front) -> dict[str, Any]:
    import attrs

    return {field.name: getattr(front, field.name) for field in attrs.fields(Front)}


def test_a_reference_in_the_spec_is_taken() -> None:
    problem = get_problem("dtlz2", reference=(2.0, 2.0, 2.0))
    assert problem.reference == (2.0, 2.0, 2.0)
    assert problem.true_front is not None


@pytest.mark.parametrize(
    ("points", "m", "count"), [(1, 1, 1), (500, 1, 1), (2, 2, 2), (70, 3, 66), (3, 5, 5), (60, 5, 60)]
)
def test_simplex_points(points: int, m: int, count: int) -> None:
    found = simplex_points(points, m)
    assert found.shape == (count, m)
    np.testing.assert_allclose(found.sum(axis=1), 1)
