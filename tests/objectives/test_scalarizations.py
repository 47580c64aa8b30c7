"""Closed-form scalarizations against hand-worked numbers, pymoo and TorchJD."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from moframework.objectives import Scalarization
from moframework.objectives.cosine_penalty import CosinePenalty
from moframework.objectives.linear import Linear
from moframework.objectives.pbi import PBI
from moframework.objectives.rays import rays
from moframework.objectives.rlw import RLW
from moframework.objectives.smooth_tchebycheff import SmoothTchebycheff
from moframework.objectives.tchebycheff import Tchebycheff
from tests.extras import needs_torchjd


def sample(r: int = 4, m: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    losses = torch.rand(r, m, generator=generator, dtype=torch.float64) * 3 + 0.1
    preferences = torch.rand(r, m, generator=generator, dtype=torch.float64) + 0.05
    return losses, preferences / preferences.sum(dim=1, keepdim=True)


def gradient(objective: Scalarization, losses: Tensor, preferences: Tensor) -> Tensor:
    losses = losses.clone().requires_grad_()
    return torch.autograd.grad(objective(losses, preferences), losses)[0]


def test_linear_is_the_weighted_sum_averaged_over_preferences() -> None:
    losses = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    preferences = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    assert float(Linear()(losses, preferences)) == pytest.approx((0.25 + 1.5 + 3.0) / 2)


def test_tchebycheff_takes_the_largest_weighted_distance() -> None:
    losses, preferences = torch.tensor([[2.0, 1.0], [1.0, 5.0]]), torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    objective = Tchebycheff(ideal=(0.0, 0.5))
    assert float(objective(losses, preferences)) == pytest.approx((0.5 + 2.25) / 2)
    torch.testing.assert_close(gradient(objective, losses, preferences), torch.tensor([[0.125, 0.0], [0.0, 0.25]]))
    torch.testing.assert_close(
        gradient(objective, torch.tensor([[1.5, 1.0]]), torch.tensor([[0.25, 0.75]])), torch.tensor([[0.125, 0.375]])
    )  # both terms .375: they share the gradient


def test_tchebycheff_with_an_augmentation_adds_a_share_of_the_sum() -> None:
    """max(½·3, ½·(5 − 1)) + 0.1·(3 + 4) = 2.7; a task without samples adds nothing."""
    losses, preferences = torch.tensor([[3.0, 5.0]]), torch.tensor([[0.5, 0.5]])
    objective = Tchebycheff(ideal=(0.0, 1.0), augmentation=0.1)
    assert float(objective(losses, preferences)) == pytest.approx(2.7)
    unknown = torch.tensor([[3.0, 0.0]])
    assert float(objective(unknown, preferences)) == pytest.approx(0.5 * 3 + 0.1 * 3)


def test_tchebycheff_agrees_with_pymoo() -> None:
    from pymoo.decomposition.tchebicheff import Tchebicheff

    losses, preferences = sample()
    ideal = np.array([0.05, 0.02, 0.0])
    peer = Tchebicheff()
    expected = np.mean(
        [
            peer.do(row[None], weights=weights[None], utopian_point=ideal, _type="one_to_one")[0]
            for row, weights in zip(losses.numpy(), preferences.numpy(), strict=True)
        ]
    )
    assert float(Tchebycheff(ideal=tuple(ideal))(losses, preferences)) == pytest.approx(expected, abs=1e-9)


def test_smooth_tchebycheff_by_hand() -> None:
    objective = SmoothTchebycheff(mu=0.5, ideal=(0.0, 1.0))
    value = objective(torch.tensor([[2.0, 3.0]]), torch.tensor([[0.3, 0.7]]))
    assert float(value) == pytest.approx(0.5 * math.log(math.exp(1.2) + math.exp(2.8)))


def test_smooth_tchebycheff_lies_within_mu_log_m_above_the_maximum_and_does_not_overflow() -> None:
    losses, preferences = sample()
    hard = float(Tchebycheff()(losses, preferences))
    for mu in (1.0, 0.1, 1e-4):
        soft = float(SmoothTchebycheff(mu=mu)(losses, preferences))
        assert hard <= soft <= hard + mu * math.log(3) + 1e-12
    assert math.isfinite(float(SmoothTchebycheff(mu=1e-6)(losses.float() * 1e4, preferences.float())))


@needs_torchjd
def test_smooth_tchebycheff_agrees_with_torchjd() -> None:
    from torchjd.scalarization import STCH

    losses, preferences = sample()
    ideal = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    peers = [STCH(mu=0.1, weights=p, reference=ideal)(row) for row, p in zip(losses, preferences, strict=True)]
    ours = SmoothTchebycheff(mu=0.1, ideal=(0.1, 0.2, 0.3))(losses, preferences)
    torch.testing.assert_close(ours, torch.stack(peers).mean())


def test_rays_are_inverse_unless_told_otherwise() -> None:
    preferences = torch.tensor([[0.2, 0.8], [1.0, 0.0], [0.5, 0.5]])
    root = math.sqrt(0.04 + 0.64)
    expected = torch.tensor([[0.8 / root, 0.2 / root], [1e-3, 1.0], [math.sqrt(0.5), math.sqrt(0.5)]])
    torch.testing.assert_close(rays(preferences, "inverse"), expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(rays(preferences, "preference")[0], torch.tensor([0.2 / root, 0.8 / root]))


def test_pbi_by_hand() -> None:
    # Ray (.6, .8): d1 = 2·.6 + 1·.8 = 2, the rest is (.8, −.6) of length 1.
    value = PBI(theta=3.0, direction="preference")(torch.tensor([[2.0, 1.0]]), torch.tensor([[3 / 7, 4 / 7]]))
    assert float(value) == pytest.approx(2 + 3 * 1)
    inverse = PBI(theta=3.0)(torch.tensor([[1.0, 2.0]]), torch.tensor([[3 / 7, 4 / 7]]))
    assert float(inverse) == pytest.approx(2 + 3 * 1)


def test_pbi_has_a_gradient_on_its_ray() -> None:
    losses, preferences = torch.tensor([[3.0, 4.0]]), torch.tensor([[3 / 7, 4 / 7]])
    found = gradient(PBI(direction="preference"), losses, preferences)
    assert bool(torch.isfinite(found).all())


IDEAL = (0.05, 0.02, 0.01)


def test_pbi_agrees_with_pymoo() -> None:
    from pymoo.decomposition.pbi import PBI as Peer

    losses, preferences = sample()
    peers = [
        Peer(eps=0.0, theta=5).do(
            row.numpy()[None], weights=weights.numpy()[None], ideal_point=np.array(IDEAL), _type="one_to_one"
        )[0]
        for row, weights in zip(losses, preferences, strict=True)
    ]
    ours = float(PBI(theta=5.0, direction="preference", ideal=IDEAL)(losses, preferences))
    assert ours == pytest.approx(np.mean(peers), abs=1e-6)


@needs_torchjd
def test_pbi_agrees_with_torchjd() -> None:
    from torchjd.scalarization import PBI as Peer

    losses, preferences = sample()
    ideal = torch.tensor(IDEAL, dtype=torch.float64)
    peers = [float(Peer(5.0, p, ideal)(row)) for row, p in zip(losses, preferences, strict=True)]
    ours = float(PBI(theta=5.0, direction="preference", ideal=IDEAL)(losses, preferences))
    assert ours == pytest.approx(np.mean(peers), abs=1e-6)


def test_cosine_penalty_by_hand_and_as_published() -> None:
    losses, preferences = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.8, 0.2]])
    published = 2.4 + 0.8 - 2 * (3 * 0.8 + 4 * 0.2) / (5 * math.sqrt(0.68))
    intended = 2.4 + 0.8 - 2 * (3 * 0.2 + 4 * 0.8) / (5 * math.sqrt(0.68))
    assert float(CosinePenalty(coefficient=2, direction="preference")(losses, preferences)) == pytest.approx(published)
    assert float(CosinePenalty(coefficient=2)(losses, preferences)) == pytest.approx(intended)


@needs_torchjd
def test_cosine_penalty_agrees_with_torchjd() -> None:
    from torchjd.scalarization import COSMOS

    losses, preferences = sample()
    peers = [COSMOS(lambda_=8.0, weights=p)(row) for row, p in zip(losses, preferences, strict=True)]
    ours = CosinePenalty(coefficient=8.0, direction="preference")(losses, preferences)
    torch.testing.assert_close(ours, torch.stack(peers).mean())


def test_random_weights_average_to_the_preferences_and_follow_the_seed() -> None:
    losses, preferences = sample(2, 3)
    torch.manual_seed(3)
    one = RLW()(losses, preferences)
    torch.manual_seed(3)
    assert torch.equal(one, RLW()(losses, preferences))
    weights = torch.stack([gradient(RLW(), losses, preferences) * 2 for _ in range(4000)])
    torch.testing.assert_close(weights.mean(dim=0), preferences, atol=0.02, rtol=0)
    torch.testing.assert_close((weights / preferences).sum(dim=2), torch.full((4000, 2), 3.0, dtype=torch.float64))


@pytest.mark.parametrize(
    ("objective", "option"),
    [(Tchebycheff, "ideal"), (SmoothTchebycheff, "ideal"), (PBI, "ideal")],
)
def test_options_with_a_number_a_task_are_held_against_the_tasks(objective: Any, option: str) -> None:
    made = objective(**{option: (0.0, 0.0)})
    assert made.faults(2, 1) == []
    assert made.faults(3, 1) == [f"{option}: has 2 numbers; the problem has 3 tasks"]
