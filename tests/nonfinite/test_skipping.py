"""Steps that are skipped change nothing: training is the one without them."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from moframework import TensorData, solve
from moframework.backbones.base import Backbone
from moframework.config import build, config
from moframework.engine.checkpoint import LAST, read_checkpoint
from moframework.engine.device import placement
from moframework.engine.events import Observer
from moframework.engine.fit import fit
from moframework.engine.loop import Loop
from moframework.engine.milestones import Averaging as AveragingHook
from moframework.engine.settings import Evaluation, Training
from moframework.errors import InterruptedRun, NonFiniteLossError
from moframework.nonfinite import skipping
from moframework.objectives import Objective
from moframework.objectives.balancing import GradientBalancing, LossBalancing
from moframework.objectives.base import Scalarization
from moframework.optim import LRSchedule, Optimizer
from moframework.optim.averaging import Averaging, WeightAverage
from moframework.solvers.pamal import ConvexHull
from tests.engine.conftest import Conflict, Train, job_for, method, model_for, same_state, stop_at
from tests.extras import needs_torchjd

QUIET = Evaluation(every=0)


class Notes(Observer):
    def __init__(self) -> None:
        self.words: list[str] = []
        self.losses: list[dict[str, float]] = []

    def noted(self, words: str) -> None:
        if "skipped" in words:
            self.words.append(words)

    def logged(self, progress: Any, reading: Any) -> None:
        self.losses.append(reading.losses)


class Norm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Linear(8, width))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"y": self.layers(x)}


@config
class Normalized(Backbone):
    def build(self, input_shape: tuple[int, ...], outputs: Any) -> nn.Module:
        return Norm(outputs["y"])


@config
class WithNorm(Conflict):
    """Has statistics that a step changes."""

    @property
    def network(self) -> Backbone:
        return Normalized()


def spoiled(*rows: int) -> TensorData:
    data = Conflict().data("train")
    for row in rows:
        data.inputs[row] = torch.nan
    return data


def options(**changes: Any) -> Training:
    parts = {
        "epochs": 3,
        "batch_size": 16,
        "on_nonfinite": "skip",
        "scheduler": build(LRSchedule, {"name": "cosine_annealing", "interval": "step"}),
    }
    return Training(**{**parts, **changes})


def without(parts: Any, training: Training, data: TensorData, folder: Path) -> tuple[Loop, int]:
    """A training that leaves out the steps whose batches are not finite, but for what counts steps: the reference."""
    problem = WithNorm()
    loop = Loop(job_for(model_for(problem, parts), problem, parts, folder, training, QUIET, data=data))
    if training.averaging is not None:
        loop.hooks = [AveragingHook(WeightAverage(list(loop.model.space.parameters()), training.averaging))]
    left_out = 0
    loop.model.train()
    for x, targets in loop.batches():
        if bool(torch.isfinite(x).all()):
            loop.train_step(x, targets)
            continue
        left_out += 1
        loop.done += 1
        if loop.at_epoch_end:
            loop.step.epoch_ended()
        assert loop.scheduler is not None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the first step may be left out
            loop.scheduler.step()
    for hook in loop.hooks:
        hook.finished(loop)
    return loop, left_out


CASES = {
    "plain": ({}, {}),
    "balanced": ({"balancing": (LossBalancing(window=3),)}, {}),
    "by task": ({"balancing": (GradientBalancing(),)}, {}),
    "sgd": ({}, {"optimizer": build(Optimizer, {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1})}),
    "adagrad": ({}, {"optimizer": build(Optimizer, {"name": "adagrad"})}),
    "clipped": ({}, {"clip_gradient_norm": 0.1}),
    "averaged": ({}, {"averaging": Averaging(start=0.0, decay=0.5)}),
    **{name: ({"objective": build(Objective, name)}, {}) for name in ("uncertainty", "dwa", "famo", "nash_mtl")},
    "pareto_mtl": ({"objective": build(Objective, "pareto_mtl")}, {}),
}
AT_ONCE = ("plain", "balanced", "by task", "clipped", "nash_mtl")


def same_training(loop: Loop, model: Any, folder: Path) -> None:
    saved = read_checkpoint(folder / LAST)
    assert same_state(loop.model.state_dict(), model.state_dict())
    assert str(saved["optimizer"]) == str(loop.optimizer.state_dict())
    assert str(saved["objective"]) == str(loop.step.objective_states.state_dict())
    assert str(saved["balancing"]) == str(loop.step.state)
    assert str(saved["scheduler"]) == str(loop.scheduler.state_dict())  # type: ignore[union-attr]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("rows", [(5,), (5, 9, 40, 41, 60)])
def test_training_is_the_one_without_the_step(train: Train, tmp_path: Path, name: str, rows: tuple[int, ...]) -> None:
    changes, settings = CASES[name]
    parts, data = method(weights=ConvexHull(), **changes), spoiled(*rows)
    model, result = train(parts, options(**settings), QUIET, WithNorm(), data=data)
    loop, left_out = without(parts, options(**settings), data, tmp_path / "reference")
    assert 3 <= left_out < 12
    assert (result.steps, result.skipped_steps) == (12, left_out)
    same_training(loop, model, tmp_path / "checkpoints")


@pytest.mark.parametrize("name", AT_ONCE)
def test_the_device_alone_decides_the_same(
    train: Train, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, settings = CASES[name]
    parts, data = method(weights=ConvexHull(), **changes), spoiled(5, 9, 40)
    expected, _ = train(parts, options(**settings), QUIET, WithNorm(), data=data, folder=tmp_path / "read")
    monkeypatch.setattr(skipping, "_must_read", lambda loop: False)
    found, result = train(parts, options(**settings), QUIET, WithNorm(), data=data, folder=tmp_path / "told")
    assert result.skipped_steps >= 3
    assert same_state(found.state_dict(), expected.state_dict())
    one, other = (read_checkpoint(tmp_path / folder / LAST) for folder in ("read", "told"))
    for key in ("balancing", "skipped", "scheduler"):
        assert str(one[key]) == str(other[key])
    assert str(one["optimizer"]["state"]) == str(other["optimizer"]["state"])


@pytest.mark.parametrize("name", ["linear", "uncertainty", "dwa", "famo", pytest.param("gradvac", marks=needs_torchjd)])
@pytest.mark.parametrize("at", [1, 6, 11])
def test_stopped_and_resumed_is_bitwise_the_same(train: Train, tmp_path: Path, name: str, at: int) -> None:
    parts, data = method(objective=build(Objective, name)), spoiled(5, 9, 40)
    training = options(averaging=Averaging(start=0.2))
    whole, result = train(parts, training, QUIET, folder=tmp_path / "whole", data=data)
    with pytest.raises(InterruptedRun):
        train(parts, training, QUIET, folder=tmp_path / "parts", stop=stop_at(at), data=data)
    resumed, again = train(parts, training, QUIET, folder=tmp_path / "parts", resume=True, data=data)
    assert again.skipped_steps == result.skipped_steps > 3
    assert same_state(resumed.state_dict(), whole.state_dict())
    assert all(bool(torch.isfinite(p).all()) for p in resumed.parameters())
    one, other = (read_checkpoint(tmp_path / folder / LAST) for folder in ("parts", "whole"))
    for key in ("optimizer", "objective", "skipped", "average"):
        assert str(one[key]) == str(other[key])


@pytest.mark.parametrize("reads", [True, False])
def test_a_gradient_that_is_not_finite_is_skipped_too(
    train: Train, reads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    @config
    class Root(Scalarization):
        """Finite, with a gradient that is not now and then."""

        def __call__(self, losses: Tensor, preferences: Tensor, state: Any = None) -> Tensor:
            root = (losses - losses.detach()).sum().sqrt()
            return losses.sum() + (root if bool(torch.rand(()) < 0.15) else 0)

    monkeypatch.setattr(skipping, "_must_read", lambda loop: reads)
    notes = Notes()
    model, result = train(method(objective=Root()), options(log_every=100), QUIET, observer=notes)
    assert 0 < result.skipped_steps < 12
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
    (words,) = notes.words
    assert f"{result.skipped_steps} step" in words
    assert "its losses are finite, but a gradient is not" in words


def test_what_is_told(train: Train) -> None:
    notes = Notes()
    training = options(log_every=3, checkpoint_every=1)
    _, result = train(training=training, evaluation=QUIET, data=spoiled(5, 9, 40), observer=notes)
    assert len(notes.words) <= 4
    assert f"{result.skipped_steps} of 12 so far" in notes.words[-1]
    assert "of the training split is nan" in notes.words[0]
    assert sum(int(words.split()[0]) for words in notes.words) == result.skipped_steps
    assert all(value == value for losses in notes.losses for value in losses.values())


def test_too_many_in_a_row_are_an_error(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skipping, "MOST_IN_A_ROW", 5)
    with pytest.raises(NonFiniteLossError, match=r"step 6: more than 5 steps in a row were skipped, .* row .* is nan"):
        train(training=options(log_every=100), evaluation=QUIET, data=spoiled(*range(64)))


def test_nothing_is_skipped_where_all_is_finite(train: Train, tmp_path: Path) -> None:
    plain, result = train(training=options(on_nonfinite="stop"), evaluation=QUIET, folder=tmp_path / "stop")
    same, other = train(training=options(), evaluation=QUIET, folder=tmp_path / "skip")
    assert (result.skipped_steps, other.skipped_steps) == (0, 0)
    assert same_state(plain.state_dict(), same.state_dict())


def test_the_scaler_of_fp16_leaves_out_what_is_skipped(tmp_path: Path) -> None:
    problem, parts = WithNorm(), method()
    training = options(precision="fp16", device="cpu", epochs=6)
    model = model_for(problem, parts)
    place = placement(training, problem.backbone(), problem.input_shape)
    result = fit(job_for(model, problem, parts, tmp_path, training, QUIET, data=spoiled(5), place=place))
    saved = read_checkpoint(tmp_path / LAST)
    assert result.skipped_steps >= 6
    assert saved["scaler"]["scale"] == 65536.0 / 2**result.skipped_steps
    assert all(bool(torch.isfinite(value).all()) for value in model.state_dict().values())


def test_the_status_and_the_log_tell_of_skipped_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = itertools.count(1)
    monkeypatch.setattr(skipping, "_any_non_finite", lambda *_: torch.tensor(next(steps) in (2, 7)))
    digits = {"name": "digits", "train": 64, "val": 16, "test": 16}
    training = {"epochs": 2, "batch_size": 16, "on_nonfinite": "skip"}
    spec = {"problem": digits, "solver": "cosmos", "training": training, "evaluate": {"points": 2}}
    run = solve(spec, tmp_path / "run", device="cpu")
    assert run.summary()["skipped_steps"] == 2
    assert "2 steps were skipped, 2 of 8 so far. In step 2 its losses are" in (run.path / "log.txt").read_text()
