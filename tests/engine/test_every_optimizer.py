"""Every optimizer of the installed pytorch-optimizer that a spec can name trains, and resumes bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from moframework import solve
from moframework.config.structure import build
from moframework.engine.checkpoint import LAST, read_checkpoint
from moframework.engine.settings import Evaluation, Training
from moframework.errors import InterruptedRun
from moframework.optim import Optimizer
from moframework.optim.pytorch_optimizer import PACKAGE
from tests.engine.conftest import Conflict, Train, method, model_for, same_state, stop_at
from tests.extras import needs_pytorch_optimizer

NAMES = [name for name in Optimizer.names() if Optimizer.lookup(name).package == PACKAGE]  # type: ignore[attr-defined]


@needs_pytorch_optimizer
@pytest.mark.parametrize("name", NAMES)
def test_it_steps_every_form_of_parameter_and_lives_through_a_step_without_gradients(name: str) -> None:
    forms = [torch.randn(4, 5), torch.randn(5), torch.randn(2, 3, 4), torch.randn(()), torch.randn(4, 3, 3, 3)]
    parameters = [nn.Parameter(form) for form in forms]
    parameters.append(nn.Parameter(torch.randn(4, 3, 3, 3).contiguous(memory_format=torch.channels_last)))
    options = build(Optimizer, name)
    optimizer = options.build([{"name": "all", "params": parameters, "lr": options.lr}], torch.device("cpu"))
    for step in range(5):
        for number, parameter in enumerate(parameters):
            missing = step in (0, 3) or (step == 1 and number == 2)
            parameter.grad = None if missing else torch.randn_like(parameter)
        optimizer.step()
    assert all(bool(parameter.isfinite().all()) for parameter in parameters)


@needs_pytorch_optimizer
@pytest.mark.parametrize("name", NAMES)
def test_it_trains_and_resumes_bitwise(train: Train, tmp_path: Path, name: str) -> None:
    optimizer = build(Optimizer, name)
    training, evaluation = Training(steps=6, batch_size=16, optimizer=optimizer), Evaluation(every=1)
    untrained = model_for(Conflict(), method()).state_dict()
    whole, _ = train(training=training, evaluation=evaluation, folder=tmp_path / "whole")
    with pytest.raises(InterruptedRun):
        train(training=training, evaluation=evaluation, folder=tmp_path / "parts", stop=stop_at(3))
    resumed, _ = train(training=training, evaluation=evaluation, folder=tmp_path / "parts", resume=True)
    assert same_state(resumed.state_dict(), whole.state_dict())
    assert not same_state(whole.state_dict(), untrained)
    assert all(bool(value.isfinite().all()) for value in whole.state_dict().values())
    one, other = (read_checkpoint(tmp_path / folder / LAST) for folder in ("parts", "whole"))
    assert str(one["optimizer"]) == str(other["optimizer"])


@needs_pytorch_optimizer
@pytest.mark.parametrize("name", ["lion", "soap", "schedulefreeadamw"])
def test_a_run_with_kernels_and_groups_is_solved_and_read_again(tmp_path: Path, name: str) -> None:
    run = solve(
        {
            "problem": {"name": "digits", "train": 64, "val": 32, "test": 32},
            "solver": "palora",
            "training": {
                "steps": 3,
                "batch_size": 32,
                "optimizer": {"name": name},
                "parameter_groups": [{"match": "*.bias", "optimizer": {"name": "adam", "lr": 1e-3}}],
            },
            "evaluate": {"points": 3, "every": 1, "checkpoint": "best"},
        },
        tmp_path / "run",
        device="cpu",
    )
    assert bool(np.isfinite(run.front("test").losses).all())
    assert f"name: {name}" in (tmp_path / "run" / "spec.yaml").read_text(encoding="utf-8")
