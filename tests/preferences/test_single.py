from __future__ import annotations

import math

import pytest
import torch

from moframework.config.options import OptionError
from moframework.preferences.single import Single
from tests.preferences.claims import assert_on_simplex, assert_pure, seeded


def test_the_same_preference_at_every_step() -> None:
    schedule = Single(preference=(1.0, 3.0))
    assert schedule.count(2) == 1
    for progress in (0.01, 1.0):
        assert schedule.draw(progress, 2, 2, seeded()).tolist() == [[0.25, 0.75], [0.25, 0.75]]
    assert_pure(schedule, 0.5, 1, 2)


@pytest.mark.parametrize("m", [1, 2, 7])
def test_without_one_all_tasks_alike(m: int) -> None:
    rows = Single().draw(0.5, 1, m, seeded())
    assert_on_simplex(rows, 1, m)
    assert torch.equal(rows, torch.full((1, m), 1 / m))


def test_another_number_of_tasks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"preference has 2 numbers, \[0.0, 1.0\], but there are 3 tasks"):
        Single(preference=(0.0, 1.0)).draw(0.5, 1, 3, seeded())


@pytest.mark.parametrize("preference", [(0.0, 0.0), (math.inf, 1.0), (-1.0, 2.0), ()])
def test_what_is_no_preference_is_refused(preference: tuple[float, ...]) -> None:
    with pytest.raises(OptionError, match="preference must be"):
        Single(preference=preference)
