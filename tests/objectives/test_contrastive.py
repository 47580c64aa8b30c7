"""The contrastive term against its definition."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from moframework.errors import SpecError
from moframework.objectives.contrastive import Contrastive, contrast
from moframework.objectives.smooth_tchebycheff import SmoothTchebycheff
from moframework.objectives.uncertainty import Uncertainty

LINE = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])


def test_a_hand_worked_example() -> None:
    """Three preferences; embeddings 1 and 2 are the same, 3 is at right angles: cosines 1, 0, 0; τ = 1, σ² = 2."""
    embeddings = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])

    def divergence(near: float, far: float, alike: float, apart: float) -> float:
        p, q = math.exp(-near / 2), math.exp(-far / 2)
        p, q = p / (p + q), q / (p + q)
        a, b = math.exp(alike), math.exp(apart)
        return p * math.log(p * (a + b) / a) + q * math.log(q * (a + b) / b)

    # Squared distances: λ1 to λ2 .02, λ1 to λ3 2, λ2 to λ3 1.62.
    rows = [divergence(0.02, 2.0, 1, 0), divergence(0.02, 1.62, 1, 0), divergence(2.0, 1.62, 0, 0)]
    found = contrast(embeddings, LINE, temperature=1.0, width=math.sqrt(2))
    assert float(found) == pytest.approx(sum(rows) / 3, abs=1e-6)


def test_it_is_least_where_neighbors_are_alike() -> None:
    angles = LINE[:, 1] * math.pi / 2
    good = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert float(contrast(good, LINE)) < float(contrast(good.flip(0)[[1, 0, 2]], LINE))
    assert float(contrast(torch.eye(3), torch.eye(3))) == 0.0


def test_descending_it_orders_embeddings_as_preferences() -> None:
    torch.manual_seed(0)
    embeddings = torch.randn(3, 4, requires_grad=True)
    optimizer = torch.optim.Adam([embeddings], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        contrast(embeddings, LINE).backward()
        optimizer.step()
    cosines = nn.functional.normalize(embeddings.detach())
    cosines = cosines @ cosines.t()
    assert cosines[0, 1] > 0.5 > cosines[1, 2] > cosines[0, 2]  # the nearer, the more alike


def test_it_fades_out_and_is_part_of_the_state() -> None:
    objective = Contrastive(coefficient=2.0)
    state = objective.build(2, 3)

    def term(left: nn.Module) -> float:
        found = objective.of_embeddings(lambda at: at, LINE, left)
        return float(found)

    first = term(state)
    assert first == pytest.approx(2 * float(contrast(LINE, LINE)))
    objective.progressed(0.75, state)
    assert term(state) == pytest.approx(first / 4)
    again = objective.build(2, 3)
    again.load_state_dict(state.state_dict())
    assert term(again) == term(state)
    objective.progressed(1.0, state)
    assert term(state) == 0.0


def test_the_inner_objective_is_as_it_was() -> None:
    losses = torch.tensor([[0.3, 0.4], [0.2, 0.9], [0.5, 0.1]])
    inner = SmoothTchebycheff(mu=0.05)
    own = Contrastive(inner=inner)
    assert own(losses, LINE, own.build(2, 3)) == inner(losses, LINE)
    learned = Contrastive(inner=Uncertainty())
    state = learned.build(2, 3)
    assert len(list(state.parameters())) == len(list(Uncertainty().build(2, 3).parameters()))  # type: ignore[union-attr]
    assert learned(losses, LINE, state).requires_grad


def test_what_does_not_fit_is_refused() -> None:
    assert Contrastive().faults(2, 2) == [
        "compares the preferences of a step: preferences.per_batch must be at least 3"
    ]

    def nothing(preferences: Tensor) -> None:
        return None

    with pytest.raises(SpecError, match="use it with hyper_lora"):
        Contrastive().of_embeddings(nothing, LINE)
