"""One adapter made of λ, after HyperPALoRA: what it covers, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from moframework import solve
from moframework.errors import SpecError
from moframework.objectives.contrastive import Contrastive
from moframework.objectives.linear import Linear
from moframework.solvers.hyper_lora import HyperLoRA
from moframework.weights.hyper_lora import HyperLoRA as HyperLoRAWeights
from tests.solvers.tiny import solved

COVERING = {
    "name": "hyper_lora",
    "objective": {"name": "contrastive", "inner": {"name": "smooth_tchebycheff", "mu": 0.02}},
    "preferences": {"name": "dirichlet", "per_batch": 8},
}


def igd_plus(problem: str, solver: Any, points: int, out: Path) -> float:
    """After 300 steps, on the whole front."""
    spec = {
        "problem": {"name": problem, "form": "linear", "copies": 300},
        "solver": solver,
        "training": {"epochs": 1, "batch_size": 1, "optimizer": {"name": "adam", "lr": 3e-3}},
        "evaluate": {"every": 0, "points": points},
    }
    found = solve(spec, out=out).front("test").igd_plus()
    assert found is not None
    return found


def test_parts() -> None:
    method = HyperLoRA(rank=2, chunk=1024).method(2)
    assert method.weights == HyperLoRAWeights(rank=2, chunk=1024)
    assert method.objective == Contrastive(inner=Linear())
    assert method.preferences.count(2) >= 3


@pytest.mark.parametrize(("problem", "points"), [("vlmop2", 21), ("dtlz2", 496)])
def test_it_covers_concave_fronts(problem: str, points: int, tmp_path: Path) -> None:
    """With 496 points exactly on the rays of DTLZ2, IGD+ is .0168 (with 66: .0444)."""
    assert igd_plus(problem, COVERING, points, tmp_path / "run") <= 0.02


@pytest.mark.parametrize("changes", [{"chunk": 512, "conv": "separable"}, {"objective": "smooth_tchebycheff"}])
def test_solves_with_parts_exchanged(changes: dict[str, object], tmp_path: Path) -> None:
    space = solved({"name": "hyper_lora", "rank": 1, **changes}, tmp_path / "run").model().space
    first, second = space.weights_of(torch.eye(2))
    assert any(not torch.equal(value, second[name]) for name, value in first.items())


def test_the_contrastive_term_needs_features_of_preferences(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="use it with hyper_lora, phn or phn_hvi"):
        solved({"name": "palora", "objective": "contrastive"}, tmp_path / "run")
