"""Averages of weights: against their definitions, and in a training that is stopped, resumed and evaluated."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from moframework.engine.checkpoint import BEST, LAST, read_checkpoint
from moframework.engine.settings import Evaluation, Training
from moframework.errors import InterruptedRun
from moframework.optim.averaging import Averaging, WeightAverage
from tests.engine.conftest import Train, same_state, stop_at


def followed(options: Averaging, values: list[float]) -> tuple[nn.Parameter, WeightAverage]:
    parameter = nn.Parameter(torch.zeros(1))
    average = WeightAverage([parameter], options)
    for step, value in enumerate(values, start=1):
        with torch.no_grad():
            parameter.fill_(value)
        average.update(step / len(values))
    return parameter, average


def test_equal_shares_are_the_mean_since_the_start() -> None:
    parameter, average = followed(Averaging(start=0.5), [100.0, 50.0, 1.0, 3.0])
    with average.applied():
        assert parameter.item() == 2.0
    assert parameter.item() == 3.0


def test_a_decay_is_an_exponential_moving_average() -> None:
    parameter, average = followed(Averaging(start=0.0, decay=0.75), [8.0, 4.0, 0.0])
    average.apply()
    assert parameter.item() == pytest.approx(0.75 * (0.75 * 8.0 + 0.25 * 4.0))


def test_before_the_start_the_weights_are_those_of_the_training() -> None:
    parameter = nn.Parameter(torch.ones(1))
    average = WeightAverage([parameter], Averaging(start=0.5))
    average.update(0.5)
    with torch.no_grad():
        parameter.fill_(2.0)
    with average.applied():
        assert parameter.item() == 2.0


@pytest.mark.parametrize("options", [Averaging(start=0.25), Averaging(start=0.0, decay=0.9)])
def test_the_result_is_the_average_of_the_trained_weights(train: Train, tmp_path: Path, options: Averaging) -> None:
    """The training itself is not touched: the weights after each step are those of a run without averaging."""
    along = []
    for steps in range(1, 9):
        folder = tmp_path / str(steps)
        with contextlib.suppress(InterruptedRun):
            train(training=Training(steps=8, batch_size=16), folder=folder, stop=stop_at(steps))
        along.append(read_checkpoint(folder / LAST)["model"])
    model, _ = train(training=Training(steps=8, batch_size=16, averaging=options), folder=tmp_path / "averaged")
    assert same_state(read_checkpoint(tmp_path / "averaged" / LAST)["model"], along[-1])
    for name, value in model.state_dict().items():
        if not name.startswith("space."):
            continue
        if options.decay is None:
            expected = torch.stack([state[name] for state in along[2:]]).mean(dim=0)
        else:
            expected = along[0][name]
            for state in along[1:]:
                expected = options.decay * expected + (1 - options.decay) * state[name]
        torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("at", [3, 7, 10])
def test_stopped_and_resumed_is_bitwise_the_same(train: Train, tmp_path: Path, at: int) -> None:
    options: dict[str, Any] = {"training": Training(epochs=3, batch_size=16, averaging=Averaging(start=0.5))}
    whole, _ = train(folder=tmp_path / "whole", **options)
    with pytest.raises(InterruptedRun):
        train(folder=tmp_path / "parts", stop=stop_at(at), **options)
    resumed, _ = train(folder=tmp_path / "parts", resume=True, **options)
    assert same_state(resumed.state_dict(), whole.state_dict())
    again, _ = train(folder=tmp_path / "parts", resume=True, **options)  # finished: nothing is left to train
    assert same_state(again.state_dict(), whole.state_dict())


def test_validation_and_the_best_checkpoint_are_of_the_average(train: Train, tmp_path: Path) -> None:
    training = Training(epochs=1, batch_size=16, averaging=Averaging(start=0.0))
    model, _ = train(training=training, evaluation=Evaluation(every=1), folder=tmp_path)
    assert same_state(read_checkpoint(tmp_path / BEST)["model"], model.state_dict())
    assert not same_state(read_checkpoint(tmp_path / LAST)["model"], model.state_dict())
