from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from moframework.config import entries
from moframework.config.options import OptionError
from moframework.preferences import Schedule
from moframework.preferences.annealed import Annealed
from moframework.preferences.base import check_draw
from moframework.preferences.dirichlet import Dirichlet
from moframework.preferences.grid import Grid
from tests.preferences.claims import assert_on_simplex, assert_pure, seeded

SCHEDULES = [entry.load() for entry in entries("schedules") if entry.package == "moframework"]


def reachable(schedule: Schedule, count: int, m: int) -> int:
    """A fixed grid has no set of more than one and fewer than m points."""
    return max(count, m) if isinstance(schedule, Grid) and count > 1 else count


def test_all_schedules_are_here() -> None:
    assert {cls.__name__ for cls in SCHEDULES} >= {"Annealed", "AnnealedDirichlet", "Dirichlet", "Grid"}


@pytest.mark.parametrize("cls", SCHEDULES)
@settings(max_examples=60, deadline=None)
@given(
    progress=st.floats(1e-9, 1.0),
    count=st.integers(1, 12),
    m=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
)
def test_rows_lie_on_the_simplex(cls: type[Any], progress: float, count: int, m: int, seed: int) -> None:
    schedule = cls()
    count = reachable(schedule, count, m)
    assert_on_simplex(schedule.draw(progress, count, m, seeded(seed)), count, m)


@pytest.mark.parametrize("cls", SCHEDULES)
@pytest.mark.parametrize(("count", "m"), [(5, 2), (6, 3), (5, 3), (1, 40), (41, 40), (3, 1)])
def test_draws_are_pure(cls: type[Any], count: int, m: int) -> None:
    for progress in (1e-4, 0.3, 1.0):
        assert_pure(cls(), progress, count, m)


@pytest.mark.parametrize("cls", SCHEDULES)
@pytest.mark.parametrize("m", [1, 2, 3, 4, 7, 40])
def test_the_natural_count_can_be_drawn(cls: type[Any], m: int) -> None:
    schedule = cls()
    count = schedule.count(m)
    assert count == schedule.natural_count(m)
    assert_on_simplex(schedule.draw(1.0, count, m, seeded()), count, m)


def test_natural_counts() -> None:
    assert [Annealed().count(m) for m in (1, 2, 3, 4, 40)] == [1, 5, 6, 5, 5]
    assert [Grid().count(m) for m in (1, 2, 3, 4, 40)] == [1, 5, 6, 5, 41]
    assert [Dirichlet().count(m) for m in (1, 2, 3, 4, 40)] == [1, 5, 5, 5, 5]


def test_per_batch_is_the_count() -> None:
    assert Annealed(per_batch=7).count(3) == 7
    with pytest.raises(OptionError, match="per_batch must be at least 1"):
        Annealed(per_batch=0)


def test_one_task_has_one_preference() -> None:
    for cls in SCHEDULES:
        assert torch.equal(cls().draw(0.5, 4, 1, seeded()), torch.ones(4, 1))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0.0, 5, 2), "progress must be in (0, 1], but it is 0.0"),
        ((1.01, 5, 2), "progress must be in (0, 1], but it is 1.01"),
        ((float("nan"), 5, 2), "progress must be in (0, 1], but it is nan"),
        ((0.5, 0, 2), "count must be at least 1, but it is 0"),
        ((0.5, 5, 0), "number of tasks, must be at least 1, but it is 0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: tuple[float, int, int], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        check_draw(*arguments)
    for cls in SCHEDULES:
        with pytest.raises(ValueError, match=re.escape(words)):
            cls().draw(*arguments, seeded())
