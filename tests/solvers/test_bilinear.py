"""The solver `bilinear`: defaults of PBLoRA, and the settings of its kin."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from moframework.preferences.dirichlet import Dirichlet
from moframework.solvers.bilinear import Bilinear
from moframework.weights.bilinear import Bilinear as BilinearWeights
from moframework.weights.bilinear import BilinearSpace
from tests.solvers.tiny import solved


def test_defaults_are_those_of_pblora() -> None:
    method = Bilinear().method(2)
    assert method.weights == BilinearWeights(rank=4, alpha=8.0, core="full", lr_factor=1.0)
    assert method.preferences == Dirichlet(concentration=0.5, per_batch=1)


@pytest.mark.parametrize(
    "changes",
    [
        {"free_rank": 4, "preferences": {"name": "dirichlet", "per_batch": 4, "batch": "split"}},
        {"core": "diagonal", "rank": 1, "free_rank": 2, "conv": "peft", "objective": "smooth_tchebycheff"},
        {"core": "diagonal", "preferences": {"name": "annealed", "per_batch": 4, "batch": "split"}},
    ],
)
def test_solves_with_parts_exchanged(changes: dict[str, object], tmp_path: Path) -> None:
    assert len(solved({"name": "bilinear", **changes}, tmp_path / "run").front("test").losses) == 3


def test_a_front_around_a_trained_network_that_stays(tmp_path: Path) -> None:
    start = solved({"name": "single"}, tmp_path / "start")
    options = {"name": "bilinear", "train_base": False, "free_rank": 4, "initial": str(tmp_path / "start")}
    space = solved(options, tmp_path / "run", optimizer={"name": "adam", "lr": 0.01}).model().space
    assert isinstance(space, BilinearSpace)
    theta = start.model().weights(torch.tensor([0.5, 0.5]))
    assert all(torch.equal(p, theta[name]) for name, p in zip(space._names, space.shared, strict=True))
    assert all(bool(b.any()) for b in space.b)
