"""Auto-λ: its meta gradient by hand and against autograd through the step, and its weights."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from moframework.objectives.auto_lambda import AutoLambda, meta_gradient
from moframework.objectives.base import inner_faults
from moframework.objectives.contrastive import Contrastive
from moframework.objectives.look_ahead import LookAhead
from moframework.objectives.multi_forward import MultiForward

EVEN = torch.tensor([0.5, 0.5])


def quadratics(centers: Tensor) -> Any:
    """L_t(θ) = ½ ‖θ − c_t‖²."""
    return lambda at: 0.5 * (at["θ"] - centers).square().sum(dim=1)


def ahead_of(theta: Tensor, centers: Tensor, held_out: Tensor, rate: float = 0.25) -> LookAhead:
    return LookAhead(theta={"θ": theta}, losses=quadratics(centers), held_out=quadratics(held_out), rate=rate)


@pytest.mark.parametrize("primary", [(1.0, 1.0, 1.0), (2.0, 0.0, 0.0)])
def test_the_meta_gradient_of_quadratics_is_that_in_closed_form(primary: tuple[float, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    theta, p = torch.randn(4, generator=generator).double(), torch.tensor(primary).double()
    centers, held_out = torch.randn(2, 3, 4, generator=generator).double()
    weights = torch.tensor([0.1, 0.7, 0.0]).double()
    found, known = meta_gradient(ahead_of(theta, centers, held_out), weights, p)
    after = theta - 0.25 * (weights[:, None] * (theta - centers)).sum(dim=0)
    direction = (p[:, None] * (after - held_out)).sum(dim=0)
    torch.testing.assert_close(found, -0.25 * (theta - centers) @ direction)
    assert known.all()


def test_the_meta_gradient_of_a_network_is_that_of_autograd_through_the_step() -> None:
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(2, 16, 3, generator=generator).double(), torch.randn(2, 16, 2, generator=generator).double()
    theta = {"a": torch.randn(3, 5, generator=generator).double(), "b": torch.randn(5, 2, generator=generator).double()}

    def losses_on(part: int) -> Any:
        return lambda at: ((x[part] @ at["a"]).tanh() @ at["b"] - y[part]).square().mean(dim=0)

    ahead = LookAhead(theta=theta, losses=losses_on(0), held_out=losses_on(1), rate=0.1, scale=2.0**10)
    weights = torch.tensor([0.3, 1.2], dtype=torch.float64, requires_grad=True)
    leaves = {name: value.clone().requires_grad_() for name, value in theta.items()}
    step = torch.autograd.grad((weights * losses_on(0)(leaves)).sum(), list(leaves.values()), create_graph=True)
    after = {name: leaf - 0.1 * g for (name, leaf), g in zip(leaves.items(), step, strict=True)}
    (expected,) = torch.autograd.grad(losses_on(1)(after).sum(), weights)
    found, _ = meta_gradient(ahead, weights.detach(), torch.ones(2).double())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


def test_a_step_of_the_weights_by_hand() -> None:
    """Task 0 pulls where the held-out samples want to go and task 1 away from it: Adam's first step is its rate."""
    objective = AutoLambda(rate=0.01, initial=0.5)
    state: Any = objective.build(2, 1)
    theta, centers = torch.zeros(1), torch.tensor([[1.0], [-1.0]])
    ahead = ahead_of(theta, centers, torch.tensor([[1.0], [1.0]]))
    objective.look_ahead(ahead, EVEN, state)
    torch.testing.assert_close(state.task_weights, torch.tensor([[0.51, 0.49]]))
    losses = torch.tensor([[2.0, 4.0]])
    assert float(objective(losses, EVEN[None], state)) == pytest.approx(0.51 * 2 + 0.49 * 4)


def test_the_preference_says_which_tasks_are_primary() -> None:
    """Each task's held-out samples want what its own training samples want, and the two are opposed."""
    found = []
    for preference in ([1.0, 0.0], [0.0, 1.0]):
        objective = AutoLambda(rate=0.01)
        state: Any = objective.build(2, 1)
        centers = torch.tensor([[1.0], [-1.0]])
        objective.look_ahead(ahead_of(torch.zeros(1), centers, centers), torch.tensor(preference), state)
        found.append(state.task_weights[0].tolist())
    assert found[0] == pytest.approx([0.11, 0.09])
    assert found[1] == pytest.approx([0.09, 0.11])


def test_weights_stay_at_least_zero_and_absent_tasks_keep_theirs() -> None:
    objective = AutoLambda(rate=0.08)
    state: Any = objective.build(3, 1)

    def losses(at: dict[str, Tensor]) -> Tensor:
        opposed = torch.stack([(at["θ"] - 1).square().sum(), (at["θ"] + 1).square().sum()])
        return torch.cat([opposed, 0 * at["θ"].sum(dim=0, keepdim=True)])

    ahead = LookAhead(
        theta={"θ": torch.zeros(1)}, losses=losses, held_out=quadratics(torch.tensor([[1.0]] * 3)), rate=0.25
    )
    for _ in range(3):
        objective.look_ahead(ahead, torch.full((3,), 1 / 3), state)
    first, second, absent = state.task_weights[0].tolist()
    assert first == pytest.approx(0.34, rel=0.01)
    assert second == 0
    assert absent == pytest.approx(0.1)
    assert state.steps[0].tolist() == [3, 3, 0]


def test_numbers_that_are_not_finite_leave_the_state() -> None:
    objective = AutoLambda()
    state: Any = objective.build(2, 1)
    before = {name: value.clone() for name, value in state.state_dict().items()}
    centers = torch.tensor([[math.nan], [1.0]])
    objective.look_ahead(ahead_of(torch.zeros(1), centers, torch.ones(2, 1)), EVEN, state)
    for name, value in before.items():
        assert torch.equal(value, state.state_dict()[name]), name


def test_no_gradient_is_no_reason_to_move() -> None:
    objective = AutoLambda()
    state: Any = objective.build(2, 1)
    objective.look_ahead(ahead_of(torch.ones(1), torch.zeros(2, 1), torch.ones(2, 1), rate=1e-30), EVEN, state)
    objective.look_ahead(ahead_of(torch.ones(1), torch.ones(2, 1), torch.ones(2, 1)), EVEN, state)
    torch.testing.assert_close(state.task_weights, torch.full((1, 2), 0.1))


@pytest.mark.parametrize("outer", [MultiForward, Contrastive])
def test_other_objectives_do_not_take_it_in(outer: type[Any]) -> None:
    (fault,) = outer(inner=AutoLambda()).faults(2, 4)
    assert fault.startswith("inner: learns from a further batch")
    assert inner_faults(MultiForward(), 2, 1) == [
        "inner: compares the preferences of a step: preferences.per_batch must be at least 2"
    ]
