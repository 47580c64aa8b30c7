"""Bounds on losses: how they are read, what a step descends, and constrained optima known by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from moframework.errors import SpecError
from moframework.objectives import Objective
from moframework.objectives.base import Scalarization
from moframework.objectives.constrained import Bound, constrain, read_bounds
from moframework.objectives.epo import EPO
from moframework.objectives.famo import FAMO
from moframework.objectives.linear import Linear
from moframework.objectives.moo_svgd import MOOSVGD
from moframework.objectives.multi_forward import MultiForward
from moframework.objectives.pmgda import PMGDA
from moframework.objectives.uncertainty import Uncertainty
from moframework.preferences.evaluation import evaluation_set

TASKS = ("left", "right")
POINTS = evaluation_set(2)


def under(objective: Objective, **constraints: str) -> Any:
    return constrain(objective, {f"{task}/loss": text for task, text in constraints.items()}, TASKS, POINTS)


def test_bounds_of_both_kinds() -> None:
    found = read_bounds({"left/loss": "<= 0.3", "right/loss": "> 0.1,<2"}, TASKS)
    assert found == (Bound(0, 1.0, 0.3), Bound(1, -1.0, 0.1), Bound(1, 1.0, 2.0))
    excess = found[0].excess(torch.tensor([[0.3, 0.0], [0.15, 0.0], [3.0, 0.0]]))
    torch.testing.assert_close(excess, torch.tensor([0.03, -0.47, 1.0]))  # with the margin of 3 %
    assert float(found[1].excess(torch.tensor([0.0, 0.05]))) == pytest.approx(0.53)


@pytest.mark.parametrize(
    ("column", "text", "words"),
    [
        ("left/accuracy", ">= 0.9", "no column 'left/accuracy'.*only losses have the gradients"),
        ("left/los", "<= 1", "did you mean 'left/loss'"),
        ("left/loss", "= 0.3", "'left/loss = 0.3 ± 0.003' is no bound: write <= or >= and a number"),
        ("left/loss", "0.3", "cannot read condition 'left/loss 0.3'"),
        ("left/loss", "<= inf", "is no bound"),
    ],
)
def test_what_is_no_bound_is_told_with_its_key(column: str, text: str, words: str) -> None:
    with pytest.raises(SpecError, match=f"(?s)solver.constraints: .*{words}"):
        read_bounds({column: text}, TASKS)


def test_nothing_is_changed_without_constraints_and_aggregations_are_refused() -> None:
    linear = Linear()
    assert constrain(linear, {}, TASKS, POINTS) is linear
    with pytest.raises(SpecError, match="MOOSVGD makes a direction from gradients, with which constraints do not go"):
        under(MOOSVGD(), left="<= 1")


def test_a_step_shares_itself_between_objective_and_bound() -> None:
    method = under(Linear(), left="<= 0.5")
    state = method.build(2, 1)
    preferences = torch.tensor([[0.0, 1.0]])
    for _ in range(200):
        losses = torch.tensor([[1.2, 0.2]], requires_grad=True)
        method.total(losses, preferences, None, state).backward()
    assert losses.grad is not None
    torch.testing.assert_close(losses.grad, torch.tensor([[0.3, 0.7]]), atol=0.02, rtol=0)  # far from it little adds up
    for _ in range(200):
        shares = method.moved_shares(torch.tensor([[0.6, 0.2]]), preferences, state)
    torch.testing.assert_close(shares, torch.tensor([[0.98]]), atol=2e-3, rtol=0)
    other = torch.tensor([[1.0, 0.0]])
    assert float(method.moved_shares(torch.tensor([[0.1, 0.1]]), other, state)) < 1e-3, "other preferences do not pay"
    for _ in range(200):
        shares = method.moved_shares(torch.tensor([[0.3, 0.2]]), preferences, state)
    assert float(shares) < 1e-4, "a bound that is kept asks for nothing"


def test_bounds_are_of_losses_before_balancing() -> None:
    method = under(Linear(), left="<= 0.5")
    states = [method.build(2, 1) for _ in range(2)]
    losses, preferences, scales = torch.tensor([[1.0, 0.2]]), torch.tensor([[0.5, 0.5]]), torch.tensor([[0.1, 1.0]])
    method.total(losses, preferences, None, states[0])
    method.total(losses, preferences, scales, states[1])
    assert torch.equal(states[0].own.shares, states[1].own.shares)


def test_a_gap_to_validation_tightens_the_bound() -> None:
    method, preferences = under(Linear(), left="<= 0.5"), POINTS
    state = method.build(2, 11)
    seen = torch.tensor([[0.4, 0.4]]).expand(11, 2)
    assert float(method.moved_shares(seen, preferences, state).max()) == 0
    method.validated(seen + torch.tensor([0.3, 0.0]), preferences, state)
    torch.testing.assert_close(state.own.gaps, torch.tensor([[0.3, 0.0]]).expand(11, 2))
    assert float(method.moved_shares(seen, preferences, state).min()) > 0, "0.7 where training losses are 0.4"
    copy = method.build(2, 11)
    copy.load_state_dict(state.state_dict())
    assert torch.equal(method.moved_shares(seen, preferences, copy), method.moved_shares(seen, preferences, state))


def test_a_batch_without_labels_moves_no_share() -> None:
    method = under(Linear(), left="<= 0.5")
    state = method.build(2, 1)
    method.moved_shares(torch.tensor([[0.0, 0.4]]), torch.tensor([[0.5, 0.5]]), state)
    assert not state.own.shares.any()
    assert not state.own.means[:, 0].any()


@pytest.mark.parametrize("inner", [Uncertainty(), FAMO(), MultiForward(), EPO(), PMGDA()])
def test_states_and_forms_of_inner_objectives(inner: Objective) -> None:
    method, preferences = under(inner, left="<= 0.5"), torch.tensor([[0.3, 0.7], [0.6, 0.4]])
    assert method.faults(2, 2) == []
    assert not method.separable
    state = method.build(2, 2)
    losses = torch.tensor([[0.4, 0.6], [0.3, 0.8]], requires_grad=True)
    gramians = torch.eye(2).repeat(2, 1, 1)

    def step() -> Tensor:
        if isinstance(method, Scalarization):
            (found,) = torch.autograd.grad(method.total(losses, preferences, None, state), losses)
            return found
        return method.weights(losses.detach(), preferences, gramians, state)  # type: ignore[no-any-return]

    own = [inner.build(2, 1 if inner.separable else 2) for _ in range(2 if inner.separable else 1)]
    if isinstance(inner, Scalarization):
        rows = [slice(j, j + 1) for j in range(2)] if inner.separable else [slice(0, 2)]
        parts = [
            inner.total(losses[part], preferences[part], None, one) * len(range(2)[part]) / 2
            for part, one in zip(rows, own, strict=True)
        ]
        (expected,) = torch.autograd.grad(torch.stack(parts).sum(), losses)
        torch.testing.assert_close(step(), expected)  # no bound is missed
    else:
        torch.testing.assert_close(step(), inner.weights(losses.detach(), preferences, gramians))  # type: ignore[attr-defined]
    method.epoch_ended(state)
    if method.reviews:
        method.review(losses.detach(), losses.detach() * 0.9, state)


@pytest.mark.parametrize(
    ("inner", "text", "ends"),
    [
        (Linear(), "<= 0.09", (0.0, 0.3)),
        (Linear(), "<= 0.09, >= 0.04", (0.2, 0.3)),
        (PMGDA(direction="preference", tolerance=1e-4), "<= 0.09", (0.0, 0.3)),
    ],
)
def test_ends_at_the_constrained_optimum(inner: Objective, text: str, ends: tuple[float, float]) -> None:
    """f = (x², (x − 1)²): linear scalarization ends at x = λ_2, and at √bound where that misses a bound, up to the
    margin of 3 %; on the ray of λ it is λ_1^½ / (λ_1^½ + λ_2^½)."""
    method, preferences = under(inner, left=text), torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.0, 1.0]])
    x, state = torch.full((3,), 0.6, requires_grad=True), method.build(2, 3)
    for step in range(400):
        losses = torch.stack([x**2, (x - 1) ** 2], dim=1)
        if isinstance(method, Scalarization):
            (gradient,) = torch.autograd.grad(method.total(losses, preferences, None, state) * 3, x)
        else:
            jacobian = torch.stack([2 * x, 2 * (x - 1)], dim=1).detach()
            weights = method.weights(losses.detach(), preferences, jacobian[:, :, None] * jacobian[:, None], state)
            gradient = (weights * jacobian).sum(dim=1)
        with torch.no_grad():
            x -= 0.1 * 0.993**step * gradient
    low, high = ends
    free = preferences[:, 1] if isinstance(inner, Linear) else preferences[:, 0].sqrt() / preferences.sqrt().sum(dim=1)
    torch.testing.assert_close(x.detach(), free.clamp(low * 1.015, high * 0.985), atol=0.01, rtol=0)
