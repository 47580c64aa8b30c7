"""Objectives with a state of their own, step by step against TorchJD's."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from moframework.objectives.dwa import DWA
from moframework.objectives.famo import FAMO
from moframework.objectives.uncertainty import Uncertainty
from tests.extras import needs_torchjd

EVEN = torch.full((1, 3), 1 / 3)


def losses_of(steps: int, seed: int = 0) -> Tensor:
    return torch.rand(steps, 1, 3, generator=torch.Generator().manual_seed(seed)) + 0.2


def gradient(value: Tensor, losses: Tensor) -> Tensor:
    return torch.autograd.grad(value, losses)[0]


def state_of(objective: DWA | FAMO | Uncertainty, m: int = 3, r: int = 1) -> nn.Module:
    return objective.build(m, r)


def test_uncertainty_by_hand() -> None:
    state = state_of(Uncertainty(), 2)
    with torch.no_grad():
        next(state.parameters()).copy_(torch.tensor([[0.0, math.log(4.0)]]))
    value = Uncertainty()(torch.tensor([[2.0, 8.0]]), torch.tensor([[0.5, 0.5]]), state)
    assert float(value.detach()) == pytest.approx(0.5 * 2 + 0.5 / 4 * 8 + 0.5 * math.log(4))


@needs_torchjd
def test_uncertainty_agrees_with_torchjd() -> None:
    from torchjd.scalarization import UW

    ours, peer = state_of(Uncertainty()), UW(3)
    steps = [torch.optim.SGD(list(module.parameters()), lr=0.1) for module in (ours, peer)]
    for losses in losses_of(20):
        one, other = Uncertainty()(losses, EVEN, ours), peer(losses[0])
        torch.testing.assert_close(one, other)
        for value, optimizer in zip((one, other), steps, strict=True):
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    torch.testing.assert_close(next(ours.parameters())[0], next(peer.parameters()))


def test_the_variance_that_uncertainty_ends_with_does_not_depend_on_the_preference() -> None:
    for preference in ([0.9, 0.1], [0.5, 0.5]):
        state = state_of(Uncertainty(), 2)
        optimizer = torch.optim.SGD(list(state.parameters()), lr=0.5)
        for _ in range(400):
            optimizer.zero_grad()
            Uncertainty()(torch.tensor([[2.0, 0.5]]), torch.tensor([preference]), state).backward()
            optimizer.step()
        torch.testing.assert_close(next(state.parameters()).exp(), torch.tensor([[2.0, 0.5]]), atol=1e-3, rtol=0)


def test_dwa_by_hand() -> None:
    objective, state = DWA(temperature=2.0), state_of(DWA(), 2)
    even = torch.tensor([[0.5, 0.5]])
    for epoch in ([[4.0, 1.0], [2.0, 1.0]], [[1.0, 1.0], [2.0, 3.0]]):  # means (3, 1), then (1.5, 2)
        for row in epoch:
            losses = torch.tensor([row])
            assert float(objective(losses, even, state)) == pytest.approx(sum(row) / 2)  # linear so far
        objective.epoch_ended(state)
    losses = torch.tensor([[1.0, 1.0]], requires_grad=True)
    found = gradient(objective(losses, even, state), losses)
    expected = torch.tensor([[1.5 / 3, 2.0 / 1]]).div(2.0).softmax(dim=1)
    torch.testing.assert_close(found, expected)  # ½ · 2 softmax


@needs_torchjd
def test_dwa_agrees_with_torchjd() -> None:
    from torchjd.scalarization import DWA as Peer

    objective, state, peer = DWA(temperature=1.5), state_of(DWA()), Peer(temperature=1.5)
    for epoch in range(5):
        for losses in losses_of(4, seed=epoch):
            ours = objective(losses, EVEN, state)
            torch.testing.assert_close(3 * ours, peer(losses[0]))  # theirs sums over tasks
        objective.epoch_ended(state)
        peer.step()


@needs_torchjd
def test_famo_agrees_with_torchjd() -> None:
    from torchjd.scalarization import FAMO as Peer

    bound = (0.05, 0.1, 0.0)
    objective = FAMO(lr=0.1, weight_decay=1e-2, bound=bound)
    state, peer = state_of(objective), Peer(3, torch.tensor(bound), lr=0.1, weight_decay=1e-2)
    for before, after in zip(losses_of(30, 0), losses_of(30, 1), strict=True):
        one, other = before.clone().requires_grad_(), before[0].clone().requires_grad_()
        value, theirs = objective(one, EVEN, state), peer(other)
        torch.testing.assert_close(value, theirs)
        torch.testing.assert_close(gradient(value, one)[0], gradient(theirs, other))
        objective.review(before, after, state)
        peer.update(after[0])
    torch.testing.assert_close(state.logits[0], peer._w.detach(), atol=1e-6, rtol=1e-5)


def test_famo_weights_sum_to_one_and_shift_to_the_task_that_fell_least() -> None:
    objective, even = FAMO(), torch.tensor([[0.5, 0.5]])
    state = state_of(objective, 2)
    losses = torch.tensor([[3.0, 0.5]], requires_grad=True)
    first = gradient(objective(losses, even, state), losses)
    assert float(first.sum()) == pytest.approx(1)
    for _ in range(20):
        objective.review(torch.tensor([[3.0, 0.5]]), torch.tensor([[2.0, 0.5]]), state)
    later = gradient(objective(losses, even, state), losses)
    assert float(later[0, 1]) > float(first[0, 1])


@pytest.mark.parametrize("objective", [DWA(), FAMO(), Uncertainty()])
def test_rows_have_states_of_their_own_and_these_survive_saving(objective: DWA | FAMO | Uncertainty) -> None:
    state, again = state_of(objective, 3, 2), state_of(objective, 3, 2)
    preferences = torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.2, 0.2]])
    for _ in range(3):
        for losses in torch.rand(2, 2, 3) + 0.1:
            objective(losses, preferences, state)
            objective.review(losses, losses * 0.9, state)
        objective.epoch_ended(state)
    again.load_state_dict(state.state_dict())
    losses = torch.rand(2, 3) + 0.1
    assert torch.equal(objective(losses, preferences, state), objective(losses, preferences, again))


def test_bounds_are_held_against_the_tasks() -> None:
    assert FAMO(bound=(0.0,)).faults(2, 1) == ["bound: has 1 numbers; the problem has 2 tasks"]
