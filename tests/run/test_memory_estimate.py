"""The estimate of a training's memory, held against counts by hand and against what a training takes."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import pytest
import torch
from attrs import evolve
from torch import nn

from moframework import load_spec, solve
from moframework.engine.step import Step
from moframework.optim import Optimizer
from moframework.run.memory import held_memory
from moframework.run.memory_estimate import MemoryEstimate, _state_of, estimate_memory, saved_activations
from moframework.run.plan import Plan, plan
from tests.extras import needs_pytorch_optimizer


def planned(**changes: Any) -> Plan:
    return plan(
        load_spec(
            {
                "problem": {"name": "digits", "train": 64, "val": 32, "test": 32, **changes.pop("problem", {})},
                "solver": {"name": "single", **changes.pop("solver", {})},
                "training": {"batch_size": 32, "device": "cpu", **changes.pop("training", {})},
                **changes,
            }
        )
    )


def estimated(**changes: Any) -> MemoryEstimate:
    return estimate_memory(planned(**changes).job(Path(), (1.0, 1.0)))


def test_what_autograd_keeps_of_an_mlp_is_counted_by_hand() -> None:
    ready = planned(problem={"backbone": {"name": "mlp", "hidden": [50]}})
    step = Step(ready.model, ready.spec.problem.tasks, ready.method, ready.place)
    saved = saved_activations(step, ready.data["train"], torch.tensor([[0.5, 0.5]]))
    # a sample keeps its input (400), the hidden layer (50) once, and of two tasks log-probabilities (10) and a label
    least, most = 4 * (400 + 50 + 2 * 10) + 2 * 8, 4 * (400 + 2 * 50 + 4 * 10) + 2 * 8
    assert least <= saved.per_sample <= most
    assert saved.largest == 4 * 400
    assert saved.fixed < 1000  # the network's own parameters are not counted


@pytest.mark.parametrize(
    ("optimizer", "copies"),
    [
        ({"name": "adam"}, 2),
        ({"name": "sgd"}, 0),
        ({"name": "sgd", "momentum": 0.9}, 1),
        ({"name": "adagrad"}, 1),
        # two averages, and in lists two matrices for each of both sides
        pytest.param({"name": "soap"}, 6, marks=needs_pytorch_optimizer),
    ],
)
def test_the_state_of_an_optimizer_is_measured(optimizer: dict[str, Any], copies: int) -> None:
    options = {key: value for key, value in optimizer.items() if key != "name"}
    made = Optimizer.lookup(optimizer["name"])(lr=0.1, **options)
    assert isinstance(made, Optimizer)
    assert _state_of(made.build) == copies


def test_the_parts_follow_the_spec() -> None:
    one = estimated()
    assert one.parts["optimizer"] == 2 * one.parts["gradients"]
    assert "averages" not in one.parts
    averaged = estimated(training={"averaging": {"start": 0.5}})
    assert averaged.parts["averages"] == one.parts["gradients"]
    twice = estimated(training={"batch_size": 64})
    assert twice.parts["activations"] == pytest.approx(2 * one.parts["activations"], rel=0.02)
    frozen = estimated(problem={"backbone": {"name": "lenet", "freeze": "encoder"}})
    assert frozen.parts["gradients"] < one.parts["gradients"]


@needs_pytorch_optimizer
def test_weights_that_are_kept_aside_for_an_average_of_the_optimizer_count() -> None:
    free = estimated(training={"optimizer": "schedulefreeadamw"})
    assert free.parts["averages"] == free.parts["gradients"]


def test_preferences_that_go_backward_together_hold_a_graph_each() -> None:
    shared = {"name": "palora", "rank": 1, "preferences": {"name": "dirichlet", "per_batch": 3, "batch": "shared"}}
    alone = estimated(solver=shared)
    together = estimated(solver={**shared, "objective": "hypervolume_gradient"})
    split = estimated(solver={**shared, "preferences": {**shared["preferences"], "batch": "split"}})  # type: ignore[dict-item]
    assert together.parts["activations"] > 2 * alone.parts["activations"]
    assert split.parts["activations"] < 1.5 * alone.parts["activations"]


def test_the_model_and_the_random_numbers_come_back_as_they_were() -> None:
    ready = planned(problem={"backbone": {"name": "resnet", "depth": 18}})
    ready.model.eval()
    before = {name: value.clone() for name, value in ready.model.state_dict().items()}
    torch.manual_seed(5)
    generator = torch.get_rng_state()
    estimate_memory(ready.job(Path(), (1.0, 1.0)))
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(value, before[name]) for name, value in ready.model.state_dict().items())
    assert any("running_mean" in name for name in before)
    assert not ready.model.training
    assert all(parameter.grad is None for parameter in ready.model.parameters())


@pytest.mark.skipif(held_memory() is None, reason="told by Linux")
def test_the_host_holds_the_program_and_the_data() -> None:
    found = estimated()
    assert 50 * 2**20 < found.parts["program and data"] < found.total < found.free  # type: ignore[operator]


def test_too_little_memory_is_told_with_what_to_lower() -> None:
    much = MemoryEstimate(parts={"activations": 9 * 10**9, "weights": 2 * 10**9}, free=10 * 10**9)
    line, warning = much.describe()
    assert line == "about 11 GB of 10 GB free (activations 9.0 GB, weights 2.0 GB)"
    assert "will hardly fit" in warning
    assert "lower training.batch_size" in warning
    assert not much.fits
    assert "may not fit" in evolve(much, free=12 * 10**9).describe()[1]
    assert evolve(much, free=24 * 10**9).fits
    assert evolve(much, free=None).describe() == ["about 11 GB (activations 9.0 GB, weights 2.0 GB)"]


def test_check_prints_it() -> None:
    (line,) = [line for line in planned().describe() if line.startswith("memory")]
    assert line.startswith("memory      about ")


class Odd(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError("not for so few samples")


def test_what_cannot_be_estimated_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = planned()
    monkeypatch.setattr(ready.model.network, "call", lambda theta, x: Odd()(x))
    (line,) = ready.memory()
    assert line == "memory      could not be estimated (NotImplementedError: not for so few samples)"


@pytest.mark.skipif(held_memory() is None, reason="told by Linux")
def test_a_training_takes_about_what_was_estimated(tmp_path: Path) -> None:
    """In a process that has imported everything, what training adds is what the parts say."""
    changes: dict[str, Any] = {
        "problem": {"name": "digits", "train": 4096, "val": 32, "test": 32},
        "training": {"batch_size": 4096, "steps": 2, "device": "cpu"},
        "solver": {"name": "single"},
        "evaluate": {"batch_size": 32, "every": 0},
    }
    small = {**changes, "training": {**changes["training"], "batch_size": 32}}
    solve(load_spec(small), tmp_path / "small")  # imports, and what the process keeps
    ready = planned(**{key: value for key, value in changes.items() if key != "solver"})
    parts = estimate_memory(ready.job(Path(), (1.0, 1.0))).parts
    ctypes.CDLL(None).malloc_trim(0)  # what other tests have freed would be taken again without being seen
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = held_memory()
    run = solve(load_spec(changes), tmp_path / "run")
    assert before is not None
    more = run.summary()["peak_memory"]["host"] - before
    assert 0.5 < sum(size for name, size in parts.items() if name != "program and data") / more < 2
