"""Runs that an older version began and models that it saved, as `make.py` made them with the commit in origin.json.

Today's code goes on with each interrupted run and must arrive where the older one did. Equal are then not bits but
numbers: kernels of another processor or library add up in another order. That older code itself, resuming the same runs
with AVX-512, AVX2 and SSE4.1 kernels of torch, oneDNN and MKL and with one thread and two, arrives at weights whose
tensors differ by at most 4.5e-7 of their norm. `TOLERANCE` is some twenty times that, and a thirtieth of the least
that the steps after the interruption move a trained tensor by (3.1e-4; most move by 1e-2): no step goes missing unseen.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from moframework import Front, Observer, ParetoModel, Progress, Run, solve
from moframework.engine.gradients import TaskGradients
from moframework.errors import RunError

HERE = Path(__file__).parent
DATA = HERE / "data"
NAMES = ("cosmos", "lorpman", "multipoint", "palora", "pamal", "phn", "single")
TOLERANCE = 1e-5


class Begin(Observer):
    """Remembers where a training began or went on."""

    step = -1

    def started(self, progress: Progress) -> None:
        self.step = progress.step


@pytest.fixture(autouse=True)
def _small_network_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(HERE)


@pytest.fixture
def run(name: str, tmp_path: Path) -> Path:
    """A copy of the interrupted run."""
    return Path(shutil.copytree(DATA / name / "run", tmp_path / "run"))


def difference(new: Tensor, old: Tensor) -> float:
    """Norm of the difference over the norm of `old`, or the difference itself where that norm is 0."""
    size = old.double().norm().item()
    return (new.double() - old.double()).norm().item() / (size or 1.0)


def largest_difference(new: ParetoModel, old: ParetoModel) -> float:
    """Of all parameters and buffers."""
    ours, theirs = new.state_dict(), old.state_dict()
    assert ours.keys() == theirs.keys()
    return max(difference(ours[key], theirs[key]) for key in theirs)


def test_every_folder_is_known() -> None:
    assert sorted(path.parent.name for path in DATA.glob("*/asked.yaml")) == sorted(NAMES)
    assert set(json.loads((DATA / "origin.json").read_text())) == {
        "commit", "command", "packages", "python", "platform"
    }  # fmt: skip


@pytest.fixture
def _heads_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Norms of gradients over all parameters, as that version had them, heads of single tasks included."""
    monkeypatch.setattr(TaskGradients, "_kept", lambda self: [True] * len(self.weights))


@pytest.mark.usefixtures("_heads_count")
@pytest.mark.parametrize("name", NAMES)
def test_an_old_run_ends_in_the_old_weights(name: str, run: Path) -> None:
    begin = Begin()
    steps = torch.load(run / "checkpoints" / "last.pt", weights_only=True)["steps"]
    # The spec as it was asked for: what it expands to today is held against what the run wrote down.
    result = solve(DATA / name / "asked.yaml", run, resume=True, device="cpu", observers=[begin])
    assert begin.step == steps // 2, "it began anew, or elsewhere"
    assert result.status == "done"
    assert result.summary()["steps"] == steps
    old = ParetoModel.load(DATA / name / "finished")
    assert largest_difference(result.model(), old) < TOLERANCE
    front, before = result.front("test"), Front.load(DATA / name / "finished" / "front-test.json")
    np.testing.assert_allclose(front.losses, before.losses, rtol=TOLERANCE)
    np.testing.assert_array_equal(front.preferences, before.preferences)


@pytest.mark.parametrize("name", NAMES)
def test_the_tolerance_is_far_below_what_the_last_steps_change(name: str, run: Path) -> None:
    """So that a training that skips a step, or the checkpoint's state of the optimizer, does not pass."""
    before = torch.load(run / "checkpoints" / "last.pt", weights_only=True)["model"]
    after = load_file(DATA / name / "finished" / "model.safetensors")
    trained = [key for key in after if key.startswith("space.")]
    assert trained
    assert min(difference(before[key], after[key]) for key in trained) > 20 * TOLERANCE


@pytest.mark.parametrize("name", NAMES)
def test_an_old_model_gives_the_old_outputs(name: str) -> None:
    model = ParetoModel.load(DATA / name / "finished", trust=True).eval()
    kept = load_file(DATA / name / "finished" / "outputs.safetensors")
    outputs = {key: value for key, value in kept.items() if ".output." in key}
    assert len(outputs) == 3 * len(model.recipe.outputs)
    for key, old in outputs.items():
        index, _, name = key.split(".")
        preference = kept[f"{index}.preference"]
        with torch.no_grad():
            new = model(kept["inputs"], preference)[name]
            merged = model.at(preference).eval()(kept["inputs"])[name]
        torch.testing.assert_close(new, old, rtol=TOLERANCE, atol=TOLERANCE * old.abs().max().item())
        torch.testing.assert_close(merged, old, rtol=TOLERANCE, atol=TOLERANCE * old.abs().max().item())


@pytest.mark.parametrize("name", ["palora"])
def test_the_folder_alone_suffices(name: str, run: Path) -> None:
    assert solve(run, resume=True).status == "done"
    assert largest_difference(Run(run).model(), ParetoModel.load(DATA / name / "finished")) < TOLERANCE


@pytest.mark.parametrize("name", ["palora"])
def test_a_key_that_came_later_counts_with_its_default(name: str, run: Path, tmp_path: Path) -> None:
    """An older version's `spec.yaml` has no line for it."""
    spec, other = run / "spec.yaml", tmp_path / "other.yaml"
    text, asked = spec.read_text(), (DATA / name / "asked.yaml").read_text()
    assert "  drop_last: true\n" in text
    spec.write_text(text.replace("  drop_last: true\n", ""))
    other.write_text(asked.replace("  epochs: 3\n", "  epochs: 3\n  drop_last: false\n"))
    with pytest.raises(RunError, match=r"training\.drop_last: true → false"):
        solve(other, run, resume=True, device="cpu")
    assert solve(DATA / name / "asked.yaml", run, resume=True, device="cpu").status == "done"
