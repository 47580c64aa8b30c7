"""Adaptive schedules in a training: they learn, resume to the same bytes, and are the same in two processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from moframework.config import build
from moframework.engine.checkpoint import LAST, read_checkpoint
from moframework.engine.events import Observer, Progress, Reading
from moframework.engine.fit import fit
from moframework.engine.settings import Distributed, Evaluation, Training
from moframework.errors import InterruptedRun
from moframework.preferences import Schedule
from moframework.processes.world import World
from tests.engine.conftest import Conflict, Train, job_for, method, model_for, same_state, stop_at
from tests.engine.distributed.processes import in_processes

NAMES = ("maximin", "optimized")


def schedule(name: str, **options: Any) -> Any:
    return build(Schedule, {"name": name, "every": 4, "points": 6, "per_batch": 4, **options})  # type: ignore[type-abstract]


class Seen(Observer):
    """The preferences of every step."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def logged(self, progress: Progress, reading: Reading) -> None:
        self.rows.append(reading.preferences)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("at", [3, 6, 8])
def test_a_training_resumes_bitwise(train: Train, tmp_path: Path, name: str, at: int) -> None:
    parts = method(preferences=schedule(name))
    training, evaluation = Training(epochs=4, batch_size=16), Evaluation(every=0)
    whole, _ = train(parts, training, evaluation, folder=tmp_path / "whole")
    with pytest.raises(InterruptedRun):
        train(parts, training, evaluation, folder=tmp_path / "parts", stop=stop_at(at))
    resumed, _ = train(parts, training, evaluation, folder=tmp_path / "parts", resume=True)
    assert same_state(resumed.state_dict(), whole.state_dict())
    one, other = (read_checkpoint(tmp_path / folder / LAST)["schedule"] for folder in ("parts", "whole"))
    assert torch.equal(one["preferences"], other["preferences"])
    assert torch.equal(one["losses"], other["losses"])
    assert all(torch.equal(one["learned"][key], other["learned"][key]) for key in other["learned"])
    assert len(other["losses"]) == 16 * 4, "four preferences of each of 16 steps"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_drawn_follows_what_was_learned(train: Train, tmp_path: Path, name: str) -> None:
    adapts, stays = Seen(), Seen()
    training, evaluation = Training(epochs=4, batch_size=16, log_every=1), Evaluation(every=0)
    train(method(preferences=schedule(name)), training, evaluation, observer=adapts, folder=tmp_path / "one")
    unchanging = method(preferences=schedule(name, every=1000))
    train(unchanging, training, evaluation, observer=stays, folder=tmp_path / "two")
    alike = [bool((one == other).all()) for one, other in zip(adapts.rows, stays.rows, strict=True)]
    assert alike[:4] == [True] * 4
    assert not any(alike[4:]), "from the first adaptation on"
    learned = read_checkpoint(tmp_path / "one" / LAST)["schedule"]["learned"]["points"]
    assert not torch.equal(learned, schedule(name).initial_state(2)["points"])


def test_only_the_latest_pairs_are_kept(train: Train, tmp_path: Path) -> None:
    train(method(preferences=schedule("maximin", window=16)), Training(epochs=4, batch_size=16), Evaluation(every=0))
    assert len(read_checkpoint(tmp_path / "checkpoints" / LAST)["schedule"]["losses"]) == 16


def test_losses_without_labels_or_that_are_not_finite_are_left_out(train: Train, tmp_path: Path) -> None:
    from moframework.engine.adapting import Adapting
    from moframework.engine.loop import Loop

    parts = method(preferences=schedule("maximin"))
    loop = Loop(job_for(model_for(Conflict(), parts), Conflict(), parts, tmp_path))
    hook = Adapting(loop, schedule("maximin"))
    loop.preferences = torch.tensor([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]])
    loop.losses, loop.done = torch.tensor([[1.0, 0.0], [1.0, 2.0], [float("nan"), 1.0]]), 1
    hook.after_step(loop)
    hook.read()
    assert hook.losses.tolist() == [[1.0, 2.0]]
    torch.testing.assert_close(hook.preferences, torch.tensor([[0.2, 0.8]], dtype=torch.float64), atol=1e-6, rtol=0)


def trained(world: World, folder: str) -> dict[str, Tensor]:
    """What short trainings leave: their weights, and the preferences of the last step."""
    found: dict[str, Tensor] = {}
    for name, partition in (("maximin", "spread"), ("optimized", "shared")):
        parts = method(preferences=schedule(name))
        training = Training(epochs=2, batch_size=16, log_every=1, distributed=Distributed(preferences=partition))
        model = model_for(Conflict(), parts).double()
        data = Conflict().data("train")
        data.inputs = data.inputs.double()
        data.targets = {key: value.double() for key, value in data.targets.items()}
        seen = Seen()
        job = job_for(model, Conflict(), parts, Path(folder) / name, training, Evaluation(every=0), data=data)
        fit(job, observer=seen, world=world)
        found |= {f"{name}.{key}": value for key, value in model.state_dict().items() if value.is_floating_point()}
        found[f"{name} drawn"] = torch.as_tensor(seen.rows[-1])
    return found


def test_two_processes_are_as_one(tmp_path: Path) -> None:
    first, second = in_processes(trained, tmp_path, str(tmp_path / "two"))
    for key, value in trained(World(), str(tmp_path / "one")).items():
        torch.testing.assert_close(first[key], value, rtol=1e-6, atol=1e-7, msg=lambda text, key=key: f"{key}: {text}")
        assert torch.equal(first[key], second[key]), key
