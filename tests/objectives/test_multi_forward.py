"""Multi-forward regularization against the worked examples of its definition."""

from __future__ import annotations

import math

import pytest
import torch

from moframework.objectives.multi_forward import MultiForward, order_violation
from moframework.objectives.tchebycheff import Tchebycheff

WRONG = math.log((math.exp(0.2) + math.exp(0.6)) / 2)


def one_task(losses: list[float], weights: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(losses).unsqueeze(1), torch.tensor(weights).unsqueeze(1)


@pytest.mark.parametrize(
    ("losses", "intended", "published"),
    [([0.1, 0.3, 0.9], 0.0, WRONG), ([0.9, 0.3, 0.1], WRONG, 0.0)],
)
def test_one_task_three_preferences(losses: list[float], intended: float, published: float) -> None:
    matrix, preferences = one_task(losses, [0.9, 0.5, 0.1])
    assert float(order_violation(matrix, preferences)) == pytest.approx(intended, abs=1e-6)
    assert float(order_violation(matrix, preferences, "published")) == pytest.approx(published, abs=1e-6)
    assert pytest.approx(0.4199, abs=1e-4) == WRONG


def test_rows_may_come_in_any_order() -> None:
    matrix, preferences = one_task([0.3, 0.9, 0.1], [0.5, 0.9, 0.1])
    assert float(order_violation(matrix, preferences)) == pytest.approx(WRONG, abs=1e-6)


def test_tasks_are_added_up() -> None:
    losses = torch.tensor([[0.9, 0.1], [0.3, 0.2]])
    preferences = torch.tensor([[0.8, 0.2], [0.1, 0.9]])
    # Task 1: .9 at the larger weight, .3 at the smaller: .6 too much. Task 2: .2 at .9, .1 at .2: .1 too much.
    assert float(order_violation(losses, preferences)) == pytest.approx(0.6 + 0.1, abs=1e-6)


def test_equal_preferences_have_no_order() -> None:
    matrix, preferences = one_task([0.9, 0.1], [0.5, 0.5])
    for sign in ("intended", "published"):
        assert float(order_violation(matrix, preferences, sign)) == 0.0  # type: ignore[arg-type]


def test_a_single_preference_has_no_order() -> None:
    assert float(order_violation(torch.tensor([[0.4, 0.2]]), torch.tensor([[0.5, 0.5]]))) == 0.0
    assert MultiForward().faults(2, 1) == [
        "compares the preferences of a step: preferences.per_batch must be at least 2"
    ]


def test_the_gradient_lowers_the_loss_that_should_be_smaller() -> None:
    losses = torch.tensor([[0.9], [0.3], [0.1]], requires_grad=True)
    order_violation(losses, torch.tensor([[0.9], [0.5], [0.1]])).backward()
    share = torch.tensor([math.exp(0.6), math.exp(0.2)]) / (math.exp(0.6) + math.exp(0.2))
    expected = torch.tensor([share[0], share[1] - share[0], -share[1]]).unsqueeze(1)
    torch.testing.assert_close(losses.grad, expected)


def test_the_penalty_has_the_papers_weight_relative_to_the_sum_of_losses() -> None:
    losses = torch.tensor([[0.9, 0.1], [0.3, 0.2]])
    preferences = torch.tensor([[0.8, 0.2], [0.1, 0.9]])
    objective = MultiForward(inner=Tchebycheff(), coefficient=2.0)
    penalty = objective.penalty(losses, preferences)
    assert penalty is not None
    total = objective(losses, preferences) + penalty
    assert float(total) == pytest.approx((0.72 + 0.18 + 2 * 0.7) / 2)


def test_penalties_of_nested_objectives_add_up_and_faults_name_the_inner_one() -> None:
    losses = torch.tensor([[0.9, 0.1], [0.3, 0.2]])
    preferences = torch.tensor([[0.8, 0.2], [0.1, 0.9]])
    nested = MultiForward(inner=MultiForward(coefficient=1.0), coefficient=2.0).penalty(losses, preferences)
    assert nested is not None
    assert float(nested) == pytest.approx(3 * 0.7 / 2)
    assert MultiForward(inner=Tchebycheff(ideal=(0.0,))).faults(2, 2) == [
        "inner: ideal: has 1 numbers; the problem has 2 tasks"
    ]
