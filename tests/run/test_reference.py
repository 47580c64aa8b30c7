"""The reference point of problems that state none, and notes where a hypervolume says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moframework import check, load_spec, solve
from moframework.engine.evaluate import Evaluator
from moframework.errors import NonFiniteLossError, SpecError
from moframework.problem import get_problem
from moframework.processes.world import World
from moframework.run.plan import plan
from moframework.run.reference import untrained_losses
from moframework.spec import Spec


def spec_of(folder: Path, scales: tuple[float, float, float] = (1, 1, 1), **changes: Any) -> Spec:
    """Two sums of four numbers, in train, val and test with targets of a scale of their own."""
    x = np.random.default_rng(0).random((192, 4), dtype=np.float32)
    split = np.repeat([0, 1, 2], 64)
    sums = np.float32(scales)[split] * np.stack([x[:, :2].sum(1), x[:, 2:].sum(1)])
    np.savez(folder / "sums.npz", inputs=x, first=sums[0][:, None], second=sums[1][:, None], split=split)
    problem = {
        "data": {"name": "npz", "path": str(folder / "sums.npz")},
        "backbone": {"name": "mlp", "hidden": [8]},
        "tasks": {"first": {"loss": "mse"}, "second": {"loss": "mse"}},
    }
    training = {"epochs": 30, "batch_size": 16, "optimizer": {"name": "adam", "lr": 0.02}, "device": "cpu"}
    common = {"problem": problem, "solver": "palora", "training": training, "evaluate": {"points": 3}}
    return load_spec({**common, **changes})


def reference_of(spec: Spec) -> tuple[float, ...]:
    ready = plan(spec)
    return untrained_losses(ready, Evaluator.of_spec(spec.problem, ready.place, spec.training, spec.evaluate, World()))


def test_the_larger_scale_of_train_and_val_counts(tmp_path: Path) -> None:
    alike = reference_of(spec_of(tmp_path))
    for scales in ((1, 10, 1), (10, 1, 1)):
        found = reference_of(spec_of(tmp_path, scales))
        assert all(large > 20 * small for large, small in zip(found, alike, strict=True)), (scales, found, alike)
    assert reference_of(spec_of(tmp_path, (1, 1, 1000))) == alike  # which chooses nothing


def test_weights_that_are_trained_already_do_not_move_it(tmp_path: Path) -> None:
    run = solve(spec_of(tmp_path), tmp_path / "run")
    torch.save(run.model().at([0.5, 0.5]).state_dict(), tmp_path / "network.pt")
    again = spec_of(tmp_path, solver={"name": "palora", "initial": str(tmp_path / "network.pt")})
    assert reference_of(again) == pytest.approx(run.front("val").reference)
    assert min(reference_of(again)) > 5 * run.front("val").losses.max()


def test_losses_that_are_not_finite_are_no_reference_point(tmp_path: Path) -> None:
    with pytest.raises(
        NonFiniteLossError, match=r"untrained network.*state one \(`evaluate.reference`, a number a task"
    ):
        reference_of(spec_of(tmp_path, (1, 1e30, 1)))


def test_a_test_split_of_another_scale_is_told(tmp_path: Path) -> None:
    run = solve(spec_of(tmp_path, (1, 1, 100)), tmp_path / "run")
    assert run.front("val").hypervolume() > 0
    assert "on the test split: its losses are of another scale" in (run.path / "report.txt").read_text()


def test_what_goes_by_a_hypervolume_of_zero_is_told(tmp_path: Path) -> None:
    evaluate = {"points": 3, "reference": [1e-9, 1e-9], "checkpoint": "best"}
    run = solve(spec_of(tmp_path, evaluate=evaluate), tmp_path / "run")
    text = (run.path / "report.txt").read_text()
    assert "The validation hypervolume is 0, so `evaluate.checkpoint: best` had nothing to go by" in text


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (get_problem("digits"), 'a problem alone .* has no solver: give a mapping such as {"problem": problem'),
        (load_spec({"problem": "digits", "solver": "pamal"}).solver, "a solver alone .* has no problem"),
        (3, "a spec is a path, the name of a bundled one, or a mapping; int is none"),
        (None, "NoneType is none"),
    ],
)
def test_what_is_no_spec_is_refused_in_words(given: Any, words: str) -> None:
    for function in (load_spec, check, solve):
        with pytest.raises(SpecError, match=words):
            function(given)
