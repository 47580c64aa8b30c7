"""Schedulers in a row: closed forms, checkpoints, plateaus, and trainings that become longer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from moframework.config.options import OptionError
from moframework.config.structure import build
from moframework.errors import SpecError
from moframework.optim import LRSchedule, Optimizer, Schedulers, check_row
from moframework.optim.row import _ADDED, _CHANGED

BASE = 0.5
WARM_UP = {"name": "linear", "start_factor": 0.1, "total_iters": 5}
ONE_CYCLE = {"name": "one_cycle", "max_lr": 2.0, "length": 4}
PLATEAU = {"name": "reduce_on_plateau", "factor": 0.5, "patience": 1}


class Course:
    """An optimizer with schedulers, driven by hand: an epoch is `per_epoch` steps."""

    def __init__(self, plain: Sequence[dict[str, Any]], epochs: int, per_epoch: int = 1) -> None:
        row = [build(LRSchedule, one) for one in plain]  # type: ignore[type-abstract]
        check_row(row)
        parameter = torch.nn.Parameter(torch.ones(3))
        parameter.grad = torch.zeros(3)
        group = {"name": "all", "params": [parameter], "lr": BASE}
        self.optimizer = build(Optimizer, {"name": "adam", "betas": [0.9, 0.99]}).build([group], torch.device("cpu"))  # type: ignore[type-abstract]
        self.schedulers = Schedulers(row, self.optimizer, epochs * per_epoch, per_epoch)

    def rates(self, count: int, volumes: Sequence[float] = ()) -> list[float]:
        """The rate before each of so many epochs (or steps), which follow; after each of them a validation."""
        seen = []
        for number in range(count):
            seen.append(float(self.optimizer.param_groups[0]["lr"]))
            self.optimizer.step()
            self.schedulers.step()
            if volumes:
                self.schedulers.validated(volumes[number])
        return seen

    def saved(self) -> tuple[Any, Any]:
        return self.optimizer.state_dict(), self.schedulers.state_dict()

    def load(self, saved: tuple[Any, Any], **how: bool) -> None:
        self.optimizer.load_state_dict(saved[0])
        self.schedulers.load_state_dict(saved[1], **how)


def cosine(at: int, total: int) -> float:
    return BASE * (1 + math.cos(math.pi * at / total)) / 2


def test_a_warm_up_then_a_cosine_follow_their_formulas() -> None:
    row = [WARM_UP, {"name": "cosine_annealing"}]
    expected = [*(BASE * (0.1 + 0.9 * e / 5) for e in range(5)), *(cosine(e, 15) for e in range(15))]
    assert Course(row, 20).rates(20) == pytest.approx(expected)
    by_step = [{**one, "interval": "step"} for one in row]
    assert Course(by_step, 5, per_epoch=4).rates(20) == pytest.approx(expected)


def test_each_begins_as_the_optimizer_was_made_and_the_last_may_end_early() -> None:
    course = Course([ONE_CYCLE, {"name": "exponential", "gamma": 0.5, "length": 2}], 9)
    course.rates(4)
    assert course.optimizer.param_groups[0]["betas"] == (0.9, 0.99), "one_cycle had changed them"
    assert course.rates(5) == pytest.approx([BASE, BASE / 2, BASE / 4, BASE / 4, BASE / 4])


@pytest.mark.parametrize(
    "name", [name for name in LRSchedule.names() if name != "reduce_on_plateau"]
)  # that one adds nothing
def test_what_torch_adds_to_groups_is_known(name: str) -> None:
    given: dict[str, Any] = {
        "one_cycle": {"max_lr": 0.1}, "cyclic": {"base_lr": 0.1, "max_lr": 0.2}, "step": {"step_size": 2},
        "multi_step": {"milestones": [2]}, "exponential": {"gamma": 0.9}, "cosine_annealing_warm_restarts": {"T_0": 2},
    }.get(name, {})  # fmt: skip
    parameter = torch.nn.Parameter(torch.zeros(1))
    for optimizer in (torch.optim.Adam([parameter]), torch.optim.SGD([parameter], lr=0.1, momentum=0.9)):
        before = dict(optimizer.param_groups[0])
        build(LRSchedule, {"name": name, **given}).build(optimizer, 9)  # type: ignore[type-abstract]
        after = optimizer.param_groups[0]
        assert after.keys() - before.keys() <= _ADDED
        assert {key for key in before if after[key] is not before[key]} <= _CHANGED


def test_what_an_optimizer_counts_in_its_groups_goes_on_with_the_next_scheduler() -> None:
    course = Course([ONE_CYCLE, {"name": "exponential", "gamma": 0.5, "length": 2}], 9)
    course.optimizer.param_groups[0]["counted"] = 0
    course.rates(2)
    course.optimizer.param_groups[0]["counted"] = 7
    course.rates(5)
    assert course.optimizer.param_groups[0]["counted"] == 7


def test_a_plateau_lowers_the_rate_when_the_hypervolume_no_longer_grows() -> None:
    volumes = [9.0, 9.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0]  # those before the end of the warm-up count for nothing
    assert Course([{**WARM_UP, "total_iters": 3}, PLATEAU], 8).rates(8, volumes)[3:] == pytest.approx(
        [BASE, BASE, BASE, BASE / 2, BASE / 2]
    )


@pytest.mark.parametrize("at", range(1, 12))
def test_from_a_checkpoint_the_rates_go_on_as_they_would_have(at: int) -> None:
    row, volumes = [WARM_UP, ONE_CYCLE, {**PLATEAU, "patience": 0}], [1.0] * 12
    whole = Course(row, 12).rates(12, volumes)
    first, second = Course(row, 12), Course(row, 12)
    first.rates(at, volumes[:at])
    second.load(first.saved())
    assert second.rates(12 - at, volumes[at:]) == whole[at:]


def test_a_longer_training_goes_on_with_the_rates_of_its_own_length() -> None:
    row = [WARM_UP, {"name": "cosine_annealing"}]
    finished, longer = Course(row, 10), Course(row, 25)
    finished.rates(10)
    assert finished.optimizer.param_groups[0]["lr"] == pytest.approx(0)
    longer.load(finished.saved(), same_length=False)
    assert longer.rates(15) == pytest.approx([cosine(e - 5, 20) for e in range(10, 25)])


def test_what_a_plateau_has_brought_stays_in_a_longer_training() -> None:
    finished, longer = Course([PLATEAU], 4), Course([PLATEAU], 8)
    finished.rates(4, [1.0] * 4)
    longer.load(finished.saved(), same_length=False)
    assert longer.rates(3, [1.0] * 3) == pytest.approx([BASE / 2, BASE / 4, BASE / 4])


@pytest.mark.parametrize(
    ("row", "key", "words"),
    [
        ([], "scheduler", "at least one"),
        (
            [{"name": "cosine_annealing"}, {"name": "exponential", "gamma": 0.9}],
            "scheduler.0.length",
            "how many epochs",
        ),
        ([PLATEAU, WARM_UP], "scheduler.0", "must be the last"),
        ([WARM_UP, {**PLATEAU, "interval": "step"}], "scheduler.1.interval", "at validations"),
        ([{**WARM_UP, "interval": "step"}, {"name": "cosine_annealing"}], "scheduler", "one `interval`"),
    ],
)
def test_what_cannot_follow_each_other_is_refused(row: list[Any], key: str, words: str) -> None:
    with pytest.raises(OptionError, match=words) as found:
        check_row([build(LRSchedule, one) for one in row])  # type: ignore[type-abstract]
    assert found.value.key == key


def test_a_training_that_ends_before_the_last_one_begins_is_refused() -> None:
    with pytest.raises(SpecError, match="take 5 epochs, but the training has 5"):
        Course([WARM_UP, {"name": "cosine_annealing"}], 5)


def test_checkpoints_of_before_there_were_lists_are_read() -> None:
    course, before = Course([{"name": "cosine_annealing"}], 8), Course([{"name": "cosine_annealing"}], 8)
    before.rates(3)
    course.load((before.optimizer.state_dict(), before.schedulers.current.state_dict()))
    assert course.rates(5) == pytest.approx([cosine(e, 8) for e in range(3, 8)])
