"""Optimizers that average weights by themselves: what is evaluated, kept and resumed; and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from moframework.config.structure import build
from moframework.engine.checkpoint import BEST, LAST, read_checkpoint
from moframework.engine.settings import Evaluation, Training
from moframework.errors import InterruptedRun, SpecError
from moframework.optim import Optimizer
from moframework.optim.averaging import OwnAverage
from tests.engine.conftest import Train, same_state, stop_at
from tests.extras import needs_pytorch_optimizer

pytestmark = needs_pytorch_optimizer

FREE = {"name": "schedulefreeadamw", "lr": 1e-2}
MIXED = {
    "optimizer": {"name": "adam", "lr": 1e-2},
    "parameter_groups": [{"match": "*.bias", "optimizer": {"name": "schedulefreesgd", "lr": 0.1}}],
}


def training(**options: Any) -> Training:
    return build(Training, {"epochs": 3, "batch_size": 16, "optimizer": FREE, **options})


def made(lr: float = 0.1) -> tuple[nn.Parameter, Any]:
    parameter = nn.Parameter(torch.ones(3))
    optimizer: Any = build(Optimizer, {**FREE, "lr": lr}).build(
        [{"name": "all", "params": [parameter], "lr": lr}], torch.device("cpu")
    )
    for _ in range(5):
        parameter.grad = torch.tensor([1.0, -2.0, 0.5])
        optimizer.step()
    return parameter, optimizer


def test_inside_is_the_average_and_outside_bit_for_bit_what_was_trained() -> None:
    parameter, optimizer = made()
    trained, z = parameter.detach().clone(), optimizer.state[parameter]["z"].clone()
    average = OwnAverage(optimizer)
    with average.applied():
        # y = β x + (1 - β) z, arXiv 2405.15682, equation 1
        assert torch.allclose(0.9 * parameter + 0.1 * z, trained)
        assert not torch.allclose(parameter, trained)
    assert torch.equal(parameter, trained)
    assert optimizer.param_groups[0]["train_mode"]


def test_whoever_watches_versions_sees_both_changes() -> None:
    parameter, optimizer = made()
    before = parameter._version
    with OwnAverage(optimizer).applied():
        inside = parameter._version
        assert inside > before
    assert parameter._version > inside


@pytest.mark.parametrize("options", [{}, MIXED], ids=["all", "a group"])
def test_how_often_it_is_evaluated_changes_nothing(train: Train, tmp_path: Path, options: dict[str, Any]) -> None:
    seldom, _ = train(training=training(**options), evaluation=Evaluation(every=0), folder=tmp_path / "seldom")
    often, _ = train(training=training(**options), evaluation=Evaluation(every=1), folder=tmp_path / "often")
    assert same_state(seldom.state_dict(), often.state_dict())


@pytest.mark.parametrize("options", [{}, MIXED], ids=["all", "a group"])
@pytest.mark.parametrize("at", [3, 8])
def test_resumed_is_bitwise_the_same(train: Train, tmp_path: Path, options: dict[str, Any], at: int) -> None:
    whole, _ = train(training=training(**options), folder=tmp_path / "whole")
    with pytest.raises(InterruptedRun):
        train(training=training(**options), folder=tmp_path / "parts", stop=stop_at(at))
    resumed, _ = train(training=training(**options), folder=tmp_path / "parts", resume=True)
    assert same_state(resumed.state_dict(), whole.state_dict())
    one, other = (read_checkpoint(tmp_path / name / LAST) for name in ("parts", "whole"))
    assert one["best"] == other["best"]
    assert str(one["optimizer"]) == str(other["optimizer"])
    finished, _ = train(training=training(**options), folder=tmp_path / "whole", resume=True)
    assert same_state(finished.state_dict(), whole.state_dict())


def test_result_and_best_checkpoint_are_the_average_and_the_last_one_goes_on(train: Train, tmp_path: Path) -> None:
    model, _ = train(training=training(), folder=tmp_path)  # it gets better all the time
    best, last = (read_checkpoint(tmp_path / name)["model"] for name in (BEST, LAST))
    assert same_state(best, model.state_dict())
    assert not same_state(last, model.state_dict())


def test_early_stopping_ends_with_the_average(train: Train, tmp_path: Path) -> None:
    options = {"epochs": 9, "early_stopping": {"patience": 1, "min_delta": 9.0}}
    model, result = train(training=training(**options), folder=tmp_path)
    assert result.steps == 8
    assert not same_state(model.state_dict(), read_checkpoint(tmp_path / LAST)["model"])
    again, _ = train(training=training(**options), folder=tmp_path, resume=True)
    assert same_state(again.state_dict(), model.state_dict())


def test_clipping_and_skipping_go_with_it(train: Train) -> None:
    model, _ = train(training=training(clip_gradient_norm=0.1, on_nonfinite="skip"))
    assert all(bool(value.isfinite().all()) for value in model.state_dict().values())


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"averaging": {"start": 0.5}}, "averaging: does not go with an optimizer that averages"),
        ({"averaging": {"start": 0.5}, **MIXED}, "averaging: does not go with an optimizer that averages"),
        ({"scheduler": {"name": "one_cycle", "max_lr": 0.1}}, r"scheduler\.cycle_momentum: .* use false"),
        (
            {"scheduler": [{"name": "linear", "total_iters": 1}, {"name": "one_cycle", "max_lr": 0.1}]},
            r"scheduler\.1\.cycle_momentum: ",
        ),
    ],
)
def test_what_does_not_go_with_it_is_refused(options: dict[str, Any], key: str) -> None:
    with pytest.raises(SpecError, match=key):
        training(**options)


def test_rates_may_change_and_what_is_counted_goes_on(train: Train, tmp_path: Path) -> None:
    rows = [{"name": "linear", "total_iters": 1}, {"name": "one_cycle", "max_lr": 0.1, "cycle_momentum": False}]
    train(training=training(scheduler=rows), folder=tmp_path)
    assert read_checkpoint(tmp_path / LAST)["optimizer"]["param_groups"][0]["step"] == 12
