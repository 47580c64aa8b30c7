"""The part of the simplex that meets conditions, on fronts of formulas."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from moframework.pareto.conditions import read_conditions
from moframework.pareto.front import Front
from moframework.preferences.evaluation import evaluation_set
from moframework.run.feasible import Feasible, find_feasible

TASKS = ("a", "b", "c", "d", "e", "f")


class Counted:
    """A front of `losses` (k, m) of preferences, by default L_t = 1 − λ_t; what it was asked for is counted."""

    def __init__(self, losses: Callable[[Tensor], Tensor] = lambda rows: 1 - rows) -> None:
        self.losses, self.evaluated, self.calls = losses, 0, 0

    def __call__(self, preferences: Tensor) -> Front:
        self.evaluated += len(preferences)
        self.calls += 1
        rows = preferences.double()
        return Front(
            tasks=TASKS[: rows.shape[1]], preferences=preferences.numpy(), losses=self.losses(rows).numpy(), split="val"
        )


def found(evaluate: Counted, *conditions: str, m: int = 2, **options: Tensor) -> Feasible:
    names = [f"{task}/loss" for task in TASKS[:m]]
    return find_feasible(read_conditions(conditions, names), evaluate, m, **options)  # type: ignore[arg-type]


def vertices(part: Feasible) -> np.ndarray:
    assert part.vertices is not None
    assert (part.vertices >= 0).all()
    assert part.vertices.sum(axis=1) == pytest.approx(1)
    return part.vertices


def test_one_bound_of_two_tasks_to_a_thousandth_and_never_beyond() -> None:
    evaluate = Counted()
    part = found(evaluate, "a/loss <= 0.66")
    ends = vertices(part)
    assert ends[0] == pytest.approx([1, 0])
    assert 0.34 <= ends[1, 0] < 0.341
    assert not part.whole
    assert evaluate.evaluated < 22
    assert len(part.seen.losses) == evaluate.evaluated


def test_both_sides_and_two_tasks() -> None:
    ends = vertices(found(Counted(), "a/loss <= 0.66", "a/loss > 0.512"))
    assert ends[:, 0] == pytest.approx([0.488, 0.34], abs=1e-3)
    ends = vertices(found(Counted(), "a/loss <= 0.66", "b/loss <= 0.55"))
    assert ends[:, 0] == pytest.approx([0.55, 0.34], abs=1e-3)


def test_a_narrow_part_between_the_points_it_starts_from() -> None:
    ends = vertices(found(Counted(), "a/loss = 0.673 +- 0.004"))
    assert ends[:, 0] == pytest.approx([0.331, 0.323], abs=1e-3)


@pytest.mark.parametrize("m", [3, 4])
def test_the_exact_corners_where_conditions_ask_for_least_weights(m: int) -> None:
    ends = vertices(found(Counted(), "a/loss <= 0.7", "b/loss <= 0.9", m=m))
    exact = np.zeros((m, m))
    exact[:, 0], exact[:, 1] = 0.3, 0.1
    exact += 0.6 * np.eye(m)
    assert ends == pytest.approx(exact, abs=3e-3)
    inside = evaluation_set(m).double().numpy() @ ends
    assert (1 - inside[:, 0] <= 0.7 + 1e-6).all()


def test_many_tasks_in_few_passes() -> None:
    evaluate = Counted()
    ends = vertices(found(evaluate, "a/loss <= 0.7", m=6))
    assert (ends[:, 0] >= 0.3).all()
    assert ends[0] == pytest.approx(np.eye(6)[0])
    assert (np.diag(ends)[1:] > 0.55).all()
    assert evaluate.calls < 15


def test_what_is_wanted_is_drawn_inside_where_the_part_has_a_gap() -> None:
    def gap(rows: Tensor) -> Tensor:
        a = rows[:, 0]
        return torch.stack([torch.where((a > 0.4) & (a < 0.47), 0.9, 0.2 + 0 * a), a], dim=1)

    wanted = evaluation_set(2)
    evaluate = Counted(gap)
    ends = vertices(found(evaluate, "a/loss <= 0.5", wanted=wanted))
    assert (evaluate(torch.tensor(wanted.double().numpy() @ ends)).losses[:, 0] <= 0.5).all()
    assert ends[0, 0] - ends[1, 0] > 0.2


def test_all_and_nothing() -> None:
    part = found(Counted(), "a/loss <= 1")
    assert part.whole
    assert vertices(part) == pytest.approx(np.eye(2))
    none = found(Counted(lambda rows: 2 - rows), "a/loss <= 0.7", "b/loss <= 3")
    assert none.vertices is None
    assert none.nearest == pytest.approx((1, 0))
    assert none.misses == ("a/loss <= 0.7 is missed by 0.3, for it is 1",)
    assert none.alone == "a/loss at best 1; b/loss at best 1"
    both = found(Counted(), "a/loss <= 0.3", "b/loss <= 0.3")
    assert both.vertices is None
    assert "a/loss" in both.misses[0]
