"""Recording steps: what the host computes is found, and what cannot be recorded says why. Recordings themselves need a
CUDA device; see `test_cuda.py`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from attrs import evolve
from torch import Tensor

from moframework import solve
from moframework.engine.acceleration.cuda_graph import CudaGraph, HostWatch
from moframework.engine.settings import Training
from moframework.engine.step import Step
from moframework.errors import SpecError
from tests.engine.test_reading import META, SOLVERS, step_on_meta


def told(step: Step) -> list[str]:
    """What a step will say."""
    words: list[str] = []
    step.note = words.append
    return words


def randomly_weighted(losses: Tensor, preference: Tensor) -> Tensor:
    """A scalarization whose weights the host draws."""
    return (losses * torch.rand(2).to(losses.device)).sum()


@pytest.mark.parametrize("acceleration", ["auto", "none"])
@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_steps_run_on_their_device_alone(solver: Any, acceleration: Any) -> None:
    step, x, targets, preferences = step_on_meta(solver, acceleration)
    on_device = preferences.to("meta")
    with HostWatch(preferences) as watch:
        step.run(x, targets, preferences, on_device=on_device)
    assert watch.found is None


def test_a_step_in_which_the_host_computes_is_not_recorded() -> None:
    solver = {"name": "palora", "objective": {"python": f"{__name__}:randomly_weighted"}}
    step, x, targets, preferences = step_on_meta(solver)
    words = told(step)
    CudaGraph(step, Training())
    for _ in range(5):  # on the meta device, recording would fail
        step.execute(x, targets, preferences)
    assert len(words) == 1
    assert "the host computes a part of them (aten.rand.default)" in words[0]
    CudaGraph(step, Training(cuda_graph=True))
    for _ in range(2):
        step.execute(x, targets, preferences)
    with pytest.raises(SpecError, match=r"training\.cuda_graph: the host computes a part of each step \(aten\.rand"):
        step.execute(x, targets, preferences)


def test_recording_is_refused_where_it_cannot_be(tmp_path: Path) -> None:
    spec = {
        "problem": {"name": "digits", "train": 64, "val": 16, "test": 16},
        "solver": "palora",
        "training": {"steps": 2, "batch_size": 32, "cuda_graph": True, "device": "cpu"},
    }
    with pytest.raises(SpecError, match=r"training\.cuda_graph: steps cannot be recorded, for the device is cpu"):
        solve(spec, tmp_path / "run")


class Fake(CudaGraph):
    """Records and replays on any device: it takes the step, and remembers for what."""

    def __init__(self, step: Step, training: Training) -> None:
        super().__init__(step, training)
        self.happened: list[str] = []

    def _recorded(self, key: Any, *given: Any) -> Any:
        self.happened.append("recorded")
        return SimpleNamespace(state=key[0], shape=key[1])

    def _replayed(self, recording: Any, *given: Any) -> Tensor:
        self.happened.append("replayed")
        return self.step.run(*given)


def cut(x: Tensor, targets: dict[str, Tensor], size: int) -> tuple[Tensor, dict[str, Tensor]]:
    return x[:size], {key: target[:size] for key, target in targets.items()}


def test_what_is_recorded_when() -> None:
    step, x, targets, preferences = step_on_meta("palora")
    recorder = Fake(step, Training())
    for size in (12, 12, 7, 12, 7, 12, 7, 7, 7, 12):  # whole batches, and the rests of epochs
        step.execute(*cut(x, targets, size), preferences)
    assert recorder.happened == ["recorded", "replayed", "replayed"]
    for parameter in list(step.model.parameters())[:2]:
        parameter.requires_grad_(False)
    for _ in range(5):
        step.execute(x, targets, preferences)
    assert recorder.happened[3:] == ["recorded", "replayed", "replayed"]


def test_batches_that_stay_of_another_shape_are_recorded_anew() -> None:
    """As images grow, while the rest of each epoch is smaller."""
    step, x, targets, preferences = step_on_meta("palora")
    words, recorder = told(step), Fake(step, Training())
    for size in (6, 8, 10, 12):
        for _ in range(3):
            recorder.happened.clear()
            for taken in (*[size] * 9, 3):
                step.execute(*cut(x, targets, taken), preferences)
        assert recorder.happened == 9 * ["replayed"]
    assert recorder._left == 4
    assert words == []


def test_a_finite_space_is_recorded_for_the_networks_that_a_step_trains() -> None:
    step, x, targets, preferences = step_on_meta({"name": "multipoint", "points": 3})
    words, recorder = told(step), Fake(step, Training())
    for rows in (preferences, preferences.flip(0)):
        for _ in range(5):
            step.execute(x, targets, rows)
    assert recorder.happened == 2 * ["recorded", "replayed", "replayed"]
    for k in range(12):  # as often as it changes, it is given up
        rows = preferences.roll(k % 3, 0)
        for _ in range(4):
            step.execute(x, targets, rows)
    assert words == ["steps are no longer recorded: they differ too often"]
    assert recorder.happened.count("recorded") == 8


@pytest.mark.parametrize(
    ("solver", "options", "reason"),
    [
        ("palora", {}, "the device is cpu"),
        ({"name": "single", "objective": "uncertainty"}, {}, "the objective has a state of its own"),
        ("palora", {"recompute": True}, "activations are made again"),
        ("palora", {"cuda_graph": False}, "training.cuda_graph is false"),
        ("palora", {}, None),
    ],
    ids=["a CPU", "a state", "made again", "not asked for", "applies"],
)
def test_it_declines_with_a_reason(solver: Any, options: dict[str, Any], reason: str | None) -> None:
    step, *_ = step_on_meta(solver)
    device = "cpu" if reason == "the device is cpu" else "cuda"  # which is but a name here
    step.place = evolve(META, device=torch.device(device))
    assert CudaGraph.declines(step, Training(**options)) == reason
    if reason is not None and options.get("cuda_graph", True):
        with pytest.raises(SpecError, match=f"steps cannot be recorded, for {reason}"):
            CudaGraph.declines(step, Training(**{**options, "cuda_graph": True}))
