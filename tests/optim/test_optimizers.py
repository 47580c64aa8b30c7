"""Optimizers by name, with torch's own options."""

from __future__ import annotations

import pytest
import torch

from moframework.config.structure import build, unstructure
from moframework.engine.settings import Training
from moframework.errors import SpecError
from moframework.optim import Optimizer

CPU = torch.device("cpu")


def groups(*shape: int) -> list[dict[str, object]]:
    return [{"name": "all", "params": [torch.nn.Parameter(torch.ones(shape or (3,)))], "lr": 0.5}]


# Those of pytorch-optimizer, some of which take no step with the first gradient: tests/engine/test_every_optimizer.py.
OF_TORCH = [name for name in Optimizer.names() if Optimizer.lookup(name).package == "torch"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", OF_TORCH)
def test_every_offered_optimizer_takes_a_step(name: str) -> None:
    given = groups(1, 3) if name == "muon" else groups()
    (parameter,) = given[0]["params"]  # type: ignore[misc]
    optimizer = build(Optimizer, {"name": name, "lr": 0.1}).build(given, CPU)
    parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert bool((parameter < 1).all()), name


def test_the_usual_ones_are_offered() -> None:
    assert {"adam", "adamw", "sgd", "rmsprop"} <= set(Optimizer.names())
    assert "muon" in Optimizer.names()
    assert "lbfgs" not in Optimizer.names()


def test_options_reach_torch_and_groups_keep_their_rates() -> None:
    optimizer = build(Optimizer, {"name": "adamw", "weight_decay": 0.2, "betas": [0.8, 0.9]}).build(groups(), CPU)
    group = optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"], group["betas"]) == (0.5, 0.2, (0.8, 0.9))
    assert group["name"] == "all"
    assert group["fused"] is True


def test_unknown_options_and_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(SpecError, match=r"weight_decay"):
        build(Optimizer, {"name": "adam", "weight_decya": 0.2})
    with pytest.raises(SpecError, match=r"adamw"):
        build(Optimizer, {"name": "adamww"})


def test_round_trip() -> None:
    made = build(Optimizer, {"name": "sgd", "lr": 0.1, "momentum": 0.9})
    assert build(Optimizer, unstructure(made)) == made


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_losses_are_not_made_to_grow(name: str) -> None:
    with pytest.raises(SpecError, match=r"optimizer.maximize: would make the losses grow"):
        build(Training, {"epochs": 1, "optimizer": {"name": name, "lr": 0.1, "maximize": True}})
    assert build(Training, {"epochs": 1, "optimizer": {"name": name, "lr": 0.1, "maximize": False}}).optimizer
