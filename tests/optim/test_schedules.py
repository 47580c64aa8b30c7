"""Learning-rate schedulers by name, with torch's own options."""

from __future__ import annotations

import pytest
import torch

from moframework.config.structure import build
from moframework.errors import SpecError
from moframework.optim import LRSchedule, Optimizer

CPU = torch.device("cpu")


def groups() -> list[dict[str, object]]:
    return [{"name": "all", "params": [torch.nn.Parameter(torch.ones(3))], "lr": 0.5}]


def test_the_usual_ones_are_offered() -> None:
    usual = {"step", "multi_step", "cosine_annealing", "exponential", "one_cycle", "reduce_on_plateau"}
    assert usual <= set(LRSchedule.names())
    assert not {"lambda", "sequential", "chained_scheduler"} & set(LRSchedule.names())


def test_the_direction_of_a_plateau_is_no_option() -> None:
    with pytest.raises(SpecError, match=r"mode: unknown key"):
        build(LRSchedule, {"name": "reduce_on_plateau", "mode": "min"})


@pytest.mark.parametrize(
    ("plain", "rates"),
    [
        ({"name": "multi_step", "milestones": [1, 3], "gamma": 0.1}, [0.5, 0.05, 0.05, 0.005]),
        ({"name": "cosine_annealing"}, [0.5, 0.5 * (1 + 2**-0.5) / 2, 0.25, 0.5 * (1 - 2**-0.5) / 2]),
        ({"name": "step", "step_size": 2, "gamma": 0.5}, [0.5, 0.5, 0.25, 0.25]),
    ],
)
def test_schedules_follow_their_formula(plain: dict[str, object], rates: list[float]) -> None:
    optimizer = build(Optimizer, "sgd").build(groups(), CPU)
    scheduler = build(LRSchedule, plain).build(optimizer, 4)
    seen = []
    for _ in range(4):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert seen == pytest.approx(rates)
