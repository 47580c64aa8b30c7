"""Further batches for objectives that look ahead: which samples, what they leave untouched, and resuming."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from moframework.backbones.base import Backbone
from moframework.config import config
from moframework.engine.fit import Job
from moframework.engine.held_out import HeldOut
from moframework.engine.loop import Loop
from moframework.engine.settings import Training
from moframework.errors import InterruptedRun, SpecError
from moframework.objectives.auto_lambda import AutoLambda, meta_gradient
from moframework.objectives.linear import Linear
from moframework.objectives.look_ahead import LookAhead
from moframework.preferences.annealed import Annealed
from moframework.preferences.grid import Grid
from moframework.preferences.single import Single
from moframework.processes.world import World
from moframework.weights.finite import Finite
from tests.engine.conftest import Conflict, Train, job_for, method, model_for, same_state, stop_at

ONE = Finite(anchors=((0.5, 0.5),))


class Seen(AutoLambda):
    """Keeps what it is given."""

    def look_ahead(self, ahead: LookAhead, preference: Tensor, state: nn.Module | None) -> None:
        seen.append((ahead, ahead.losses(ahead.theta), ahead.held_out(ahead.theta)))
        super().look_ahead(ahead, preference, state)


seen: list[tuple[LookAhead, Tensor, Tensor]] = []


def job(folder: Path, objective: AutoLambda | None = None, **changes: Any) -> Job:
    parts = method(weights=ONE, preferences=Single(), objective=AutoLambda() if objective is None else objective)
    problem = Conflict()
    given = {"training": Training(epochs=2, batch_size=24), **changes}
    return job_for(model_for(problem, parts), problem, parts, folder, **given)


def test_each_step_sees_another_batch_of_training_samples(train: Train) -> None:
    seen.clear()
    training = Training(epochs=2, batch_size=24)
    train(method(weights=ONE, preferences=Single(), objective=Seen()), training=training)
    assert len(seen) == 4  # 64 samples in whole batches of 24
    theta = seen[0][0].theta
    values = [tuple(ahead.held_out(theta).tolist()) for ahead, _, _ in seen]
    assert len(set(values)) == len(values)
    for ahead, losses, held_out in seen:
        assert set(ahead.theta) == set(theta)
        assert ahead.rate == training.optimizer.lr
        assert not torch.equal(losses, held_out)


def test_what_is_set_aside_is_what_it_sees(tmp_path: Path) -> None:
    """Labels that are not finite in the training samples are in no held-out batch, and the other way round."""
    data = Conflict().data("train")
    aside, rest = data.take(torch.arange(16)), data.take(torch.arange(16, 64))
    for target in aside.targets.values():
        target += 1000
    loop = Loop(job(tmp_path, Seen(), data=rest, held_out=aside))
    hook = HeldOut(loop)
    assert (hook.size, hook.per_epoch) == (16, 1)
    seen.clear()
    for x, targets in loop.batches():
        loop.train_step(x, targets)
    assert len(seen) == 4
    for _, losses, held_out in seen:
        assert losses.max() < 1e3
        assert held_out.min() > 1e5


def test_a_killed_training_resumes_bitwise(train: Train, tmp_path: Path) -> None:
    parts = method(weights=ONE, preferences=Single(), objective=AutoLambda(rate=0.01))
    training = Training(epochs=3, batch_size=24, checkpoint_every=1)
    whole, _ = train(parts, training=training, folder=tmp_path / "whole")
    with pytest.raises(InterruptedRun):
        train(parts, training=training, stop=stop_at(4))
    again, fitted = train(parts, training=training, resume=True)
    assert fitted.steps == 6
    assert same_state(whole.state_dict(), again.state_dict())
    states = [torch.load(folder / "last.pt")["objective"] for folder in (tmp_path / "whole", tmp_path / "checkpoints")]
    assert same_state(*states)
    assert not torch.equal(states[0]["0.task_weights"], torch.full((1, 2), 0.1))


@config
class Normed(Conflict):
    """With statistics that a pass changes, and masks that it draws."""

    @property
    def network(self) -> Backbone:
        return NormedNet()


@config
class NormedNet(Backbone):
    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        return nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))


def test_steps_are_those_without_it_where_the_weights_stay(train: Train) -> None:
    """Statistics of BatchNorm and the masks of Dropout are those of the plain sum, and the sum is 2 · .25 L."""
    found = []
    for objective in (Still(initial=0.5), Linear()):
        parts = method(weights=ONE, preferences=Single(), objective=objective)
        found.append(train(parts, problem=Normed(), training=Training(epochs=1, batch_size=16))[0])
    assert same_state(*(model.state_dict() for model in found))
    assert any("running_mean" in name for name in found[0].skeleton.state_dict())


class Still(Seen):
    """Looks, and learns nothing."""

    def look_ahead(self, ahead: LookAhead, preference: Tensor, state: nn.Module | None) -> None:
        above, below = ahead.losses(ahead.theta), ahead.losses(ahead.theta)
        assert torch.equal(above, below), "each pass draws the same masks"
        meta_gradient(ahead, preference, preference)


def test_each_network_of_a_set_looks_ahead_by_itself(train: Train, tmp_path: Path) -> None:
    anchors = ((0.0, 1.0), (1.0, 0.0))
    objective, preferences = AutoLambda(rate=0.01), Grid(per_batch=2)
    assert preferences.points(2, 2).tolist() == [list(anchor) for anchor in anchors]
    train(method(weights=Finite(anchors=anchors), preferences=preferences, objective=objective))
    states = torch.load(tmp_path / "checkpoints" / "last.pt")["objective"]
    first, second = (states[f"{j}.task_weights"] for j in range(2))
    assert not torch.isclose(first, second).any()
    assert bool((first != 0.1).all() and (second != 0.1).all())


def test_several_processes_are_refused(tmp_path: Path) -> None:
    loop = Loop(job(tmp_path))
    loop.world = World.__new__(World)
    loop.world.size = 2
    with pytest.raises(SpecError, match="several processes"):
        HeldOut(loop)


def test_a_batch_that_cannot_be_divided_is_refused(tmp_path: Path) -> None:
    data = Conflict().data("train").take(torch.arange(2))
    parts = method(objective=AutoLambda(), preferences=Annealed(per_batch=3, batch="split"))
    problem = Conflict()
    loop = Loop(job_for(model_for(problem, parts), problem, parts, tmp_path, held_out=data))
    with pytest.raises(SpecError, match="2 samples cannot be divided among 3"):
        HeldOut(loop)
