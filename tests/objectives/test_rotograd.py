"""RotoGrad: lengths and rotations by hand, what they do to gradients, and their state."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from moframework.objectives.features import Features
from moframework.objectives.rotograd import RotoGrad, one_size, rotation_slopes

EVEN = torch.full((3,), 1 / 3)


def features_of(gradients: Tensor) -> Features:
    return Features(values=torch.zeros(gradients.shape[1:]), gradients=gradients, losses=torch.ones(len(gradients)))


def gradients(seed: int = 0, n: int = 16, d: int = 5) -> Tensor:
    """Of three tasks: of several lengths, and each with a direction of its own, so that a rotation can help."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(1, n, d, generator=generator)
    frames = torch.linalg.qr(torch.randn(3, d, d, generator=generator)).Q
    return torch.tensor([0.1, 1.0, 4.0])[:, None, None] * (base @ frames)


def test_lengths_by_hand() -> None:
    """Norms 3 and 1 at first, 3 and ½ then: ratios 1 and ½, α = (⅔, ⅓), C = 2 + 1/6."""
    objective = RotoGrad(rotate=False)
    state: Any = objective.build(2, 1)
    first = torch.tensor([[[3.0, 0.0]], [[0.0, 1.0]]])
    even = torch.tensor([0.5, 0.5])
    torch.testing.assert_close(objective.combine(features_of(first), even, state), torch.tensor([[2.0, 2.0]]))
    second = torch.tensor([[[0.0, 3.0]], [[0.5, 0.0]]])
    found = objective.combine(features_of(second), even, state)
    torch.testing.assert_close(found, torch.full((1, 2), 13 / 6))
    tilted = objective.combine(features_of(second), torch.tensor([0.75, 0.25]), state)
    torch.testing.assert_close(tilted, torch.tensor([[0.5 * 13 / 6, 1.5 * 13 / 6]]))
    assert not objective.turns


def test_all_gradients_get_one_length_and_burn_in_replaces_the_first_norms() -> None:
    objective = RotoGrad(burn_in=2)
    state: Any = objective.build(3, 1)
    for step in range(4):
        given = gradients(step)
        norms = torch.linalg.vector_norm(given.flatten(1), dim=1)
        objective.combine(features_of(given), EVEN, state)
        if step in (0, 2):
            torch.testing.assert_close(state.first_norms, norms)
        lengths = norms * one_size(norms, state.first_norms)
        torch.testing.assert_close(lengths, lengths[:1].expand(3))
        assert float(norms.min()) <= float(lengths[0]) <= float(norms.max())
    assert state.counts.tolist() == [4, 4, 4]


def test_slopes_are_those_of_autograd() -> None:
    given = gradients()
    norms = torch.linalg.vector_norm(given.flatten(1), dim=1)
    mean = given.mean(dim=0)
    target = (given * (mean.norm() / norms)[:, None, None]).mean(dim=0)

    def distance(turns: Tensor) -> Tensor:
        skew = turns - turns.mT
        return 0.5 * (target @ torch.linalg.matrix_exp(skew).mT - given).square().sum()

    expected = torch.autograd.functional.jacobian(distance, torch.zeros(3, 5, 5))
    # Over free entries of S − Sᵀ, twice the skew-symmetric gradient.
    torch.testing.assert_close(2 * rotation_slopes(given), expected, rtol=1e-4, atol=1e-4)


def test_rotations_stay_orthogonal_and_bring_the_gradients_together() -> None:
    """The heads' gradients at what they read stay; those at the features turn with the rotations."""
    objective = RotoGrad(rate=0.02, decay=1.0)
    state: Any = objective.build(3, 1)
    at_heads, rotations = gradients(), torch.eye(5).repeat(3, 1, 1)

    def cosine(given: Tensor) -> float:
        flat = torch.nn.functional.normalize(given.flatten(1), dim=1)
        return float((flat @ flat.T)[[0, 0, 1], [1, 2, 2]].mean())

    before = cosine(at_heads)
    for _ in range(150):
        given = at_heads @ rotations  # g = Rᵀ ĝ, in rows
        turn = objective.turn(features_of(given), state)
        assert turn is not None
        torch.testing.assert_close(turn @ turn.mT, torch.eye(5).expand(3, 5, 5), atol=1e-5, rtol=0)
        rotations = rotations @ turn
    torch.testing.assert_close(rotations @ rotations.mT, torch.eye(5).expand(3, 5, 5), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotations), torch.linalg.det(torch.eye(5)).expand(3), atol=1e-3, rtol=0)
    assert cosine(at_heads @ rotations) > max(0.9, before + 0.3)


def test_the_first_step_of_rotations_is_the_rate_and_decays() -> None:
    objective = RotoGrad(rate=1e-3, decay=0.5)
    state: Any = objective.build(2, 1)
    given = features_of(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]))
    first, second = objective.turn(given, state), objective.turn(given, state)
    torch.testing.assert_close(first[0], torch.tensor([[1.0, 1e-3], [-1e-3, 1.0]]), atol=1e-6, rtol=0)
    torch.testing.assert_close(first[1], first[0].T, atol=1e-6, rtol=0)
    torch.testing.assert_close(second[0], torch.tensor([[1.0, 5e-4], [-5e-4, 1.0]]), atol=1e-6, rtol=0)


def test_an_absent_task_is_left_out() -> None:
    objective = RotoGrad()
    state, fewer = objective.build(3, 1), objective.build(2, 1)
    given = gradients()
    given[1] = 0
    rest = given[[0, 2]]
    found = objective.combine(features_of(given), EVEN, state) / 3
    torch.testing.assert_close(found, objective.combine(features_of(rest), EVEN[:2], fewer) / 2)
    turn, expected = objective.turn(features_of(given), state), objective.turn(features_of(rest), fewer)
    torch.testing.assert_close(turn[[0, 2]], expected)
    assert torch.equal(turn[1], torch.eye(5))


def test_what_is_not_finite_leaves_the_state_and_the_state_is_saved() -> None:
    objective = RotoGrad()
    state: Any = objective.build(3, 1)
    objective.build(3, 1).load_state_dict(state.state_dict())
    for step in range(3):
        objective.combine(features_of(gradients(step)), EVEN, state)
        objective.turn(features_of(gradients(step)), state)
    before = {name: value.clone() for name, value in state.state_dict().items()}
    broken = gradients()
    broken[0, 0, 0] = math.nan
    assert bool(objective.combine(features_of(broken), EVEN, state).isnan().any())
    assert torch.equal(objective.turn(features_of(broken), state), torch.eye(5).expand(3, 5, 5))
    for name, value in before.items():
        assert torch.equal(value, state.state_dict()[name]), name
    again = objective.build(3, 1)
    again.load_state_dict(before)
    last = features_of(gradients(9))
    assert torch.equal(objective.turn(last, again), objective.turn(last, state))


@pytest.mark.parametrize("norms", [[0.0, 0.0], [0.0, 2.0]])
def test_no_gradient_has_no_length(norms: list[float]) -> None:
    found = one_size(torch.tensor(norms), torch.tensor([0.0, 2.0]))
    assert found.tolist() == [0.0, 1.0 if norms[1] else 0.0]
