"""Recording steps: what the host computes is found, and what cannot be recorded says why. Recordings themselves need a
CUDA device; see `test_cuda.py`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from moframework import solve
from moframework.engine.acceleration.cuda_graph import HostWatch, Recorder
from moframework.engine.step import Step
from moframework.errors import SpecError
from tests.engine.test_reading import SOLVERS, step_on_meta


def told() -> tuple[list[str], Any]:
    words: list[str] = []
    return words, words.append


def randomly_weighted(losses: Tensor, preference: Tensor) -> Tensor:
    """A scalarization whose weights the host draws."""
    return (losses * torch.rand(2).to(losses.device)).sum()


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_steps_run_on_their_device_alone(solver: Any) -> None:
    step, x, targets, preferences = step_on_meta(solver)
    on_device = preferences.to("meta")
    with HostWatch(preferences) as watch:
        step.run(x, targets, preferences, on_device=on_device)
    assert watch.found is None


def test_a_step_in_which_the_host_computes_is_not_recorded() -> None:
    solver = {"name": "palora", "objective": {"python": f"{__name__}:randomly_weighted"}}
    step, x, targets, preferences = step_on_meta(solver)
    words, tell = told()
    recorder = Recorder(step, list(step.model.parameters()), "auto", tell)
    for _ in range(5):  # on the meta device, recording would fail
        recorder.run(x, targets, preferences)
    assert len(words) == 1
    assert "the host computes a part of them (aten.rand.default)" in words[0]
    recorder = Recorder(step, list(step.model.parameters()), True, tell)
    for _ in range(2):
        recorder.run(x, targets, preferences)
    with pytest.raises(SpecError, match=r"training\.cuda_graph: the host computes a part of each step \(aten\.rand"):
        recorder.run(x, targets, preferences)


def test_recording_is_refused_where_it_cannot_be(tmp_path: Path) -> None:
    spec = {
        "problem": {"name": "digits", "train": 64, "val": 16, "test": 16},
        "solver": "palora",
        "training": {"steps": 2, "batch_size": 32, "cuda_graph": True, "device": "cpu"},
    }
    with pytest.raises(SpecError, match=r"training\.cuda_graph: steps cannot be recorded, for the device is cpu"):
        solve(spec, tmp_path / "run")


class Fake(Recorder):
    """Records and replays on any device: it takes the step, and remembers for what."""

    def __init__(self, step: Step, tell: Any) -> None:
        super().__init__(step, list(step.model.parameters()), "auto", tell)
        self.happened: list[str] = []

    def _recorded(self, state: Any, shape: Any, *given: Any) -> Any:
        self.happened.append("recorded")
        return SimpleNamespace(state=state, shape=shape)

    def _replayed(self, recording: Any, *given: Any) -> Tensor:
        self.happened.append("replayed")
        return self.step.run(*given)


def cut(x: Tensor, targets: dict[str, Tensor], size: int) -> tuple[Tensor, dict[str, Tensor]]:
    return x[:size], {key: target[:size] for key, target in targets.items()}


def test_what_is_recorded_when() -> None:
    step, x, targets, preferences = step_on_meta("palora")
    recorder = Fake(step, lambda words: None)
    for size in (12, 12, 7, 12, 7, 12, 7, 7, 7, 12):  # whole batches, and the rests of epochs
        recorder.run(*cut(x, targets, size), preferences)
    assert recorder.happened == ["recorded", "replayed", "replayed"]
    for parameter in list(step.model.parameters())[:2]:
        parameter.requires_grad_(False)
    for _ in range(5):
        recorder.run(x, targets, preferences)
    assert recorder.happened[3:] == ["recorded", "replayed", "replayed"]


def test_a_finite_space_is_recorded_for_the_networks_that_a_step_trains() -> None:
    step, x, targets, preferences = step_on_meta({"name": "multipoint", "points": 3})
    words, tell = told()
    recorder = Fake(step, tell)
    for rows in (preferences, preferences.flip(0)):
        for _ in range(5):
            recorder.run(x, targets, rows)
    assert recorder.happened == 2 * ["recorded", "replayed", "replayed"]
    for k in range(12):  # as often as it changes, it is given up
        rows = preferences.roll(k % 3, 0)
        for _ in range(4):
            recorder.run(x, targets, rows)
    assert words == ["steps are no longer recorded: they differ too often"]
    assert recorder.happened.count("recorded") == 8
