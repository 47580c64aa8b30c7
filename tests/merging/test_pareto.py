"""A merged network with adapters that go for its members."""

from __future__ import annotations

import pytest
import torch

from moframework.errors import SpecError
from moframework.merging.members import Members
from moframework.merging.pareto import ParetoMerged, ParetoMergedSpace
from tests.merging.two_heads import TwoHeads, disturbed

HEADS = [["a.0.weight", "a.0.bias", "a.1.weight", "a.1.bias"], ["b.weight", "b.bias"]]
ROWS = torch.tensor([[1.0, 0.0], [0.3, 0.7]])


@pytest.fixture
def members() -> Members:
    torch.manual_seed(0)
    start = TwoHeads().state_dict()
    return Members([disturbed(start, 1), disturbed(start, 2)], start)


def space(members: Members, rank: int = 4, aimed: bool = True) -> ParetoMergedSpace:
    made = ParetoMerged(rank=rank).build(TwoHeads, 2, None)
    assert isinstance(made, ParetoMergedSpace)
    left, right = members.states
    base = {name: (left[name] + right[name]) / 2 for name, _ in TwoHeads().named_parameters()}
    base |= {name: state[name] for state, names in zip(members.states, HEADS, strict=True) for name in names}
    made.begin(base, HEADS)
    if aimed:
        made.aim(members, HEADS)
    return made


def test_at_the_start_every_preference_is_the_base(members: Members) -> None:
    made = space(members)
    left, right = members.states
    for row in ROWS:
        theta = made.weights(row)
        torch.testing.assert_close(theta["shared.weight"], (left["shared.weight"] + right["shared.weight"]) / 2)
        assert torch.equal(theta["b.weight"], right["b.weight"])
    # It is in the middle, and distances are in units of that.
    torch.testing.assert_close(made.own_losses(ROWS), torch.ones(2, 2))


@torch.no_grad()
def test_own_losses_are_squared_distances(members: Members) -> None:
    made = space(members)
    for parameter in made.inner.b:
        parameter.normal_(std=0.1)
    losses = made.own_losses(ROWS)
    assert losses is not None
    merged = [name for name in made.weights(ROWS[0]) if not any(name in names for names in HEADS)]
    assert merged == ["shared.weight", "shared.bias", "norm.weight", "norm.bias"]
    base = made.inner._by_name()
    sizes = [
        [float(sum((theta[name] - state[name]).square().sum() for name in merged)) for state in members.states]
        for theta in (base, *map(made.weights, ROWS))
    ]
    torch.testing.assert_close(losses, torch.tensor(sizes[1:]) / torch.tensor(sizes[0]).mean())
    assert space(members, aimed=False).own_losses(ROWS) is None


def test_by_hand() -> None:
    """One weight: base 1, members 0 and 4 of which the base is no mean; B G A = 2 at (1, 0) and −1 at (0, 1)."""

    def one() -> torch.nn.Module:
        return torch.nn.Linear(1, 1, bias=False)

    made = ParetoMerged(rank=1).build(one, 2, None)
    assert isinstance(made, ParetoMergedSpace)
    made.begin({"weight": torch.tensor([[1.0]])}, [[], []])
    made.aim(Members([{"weight": torch.tensor([[0.0]])}, {"weight": torch.tensor([[4.0]])}], None), [[], []])
    with torch.no_grad():
        made.inner.a[0].fill_(1)
        made.inner.b[0].fill_(1)
        made.inner.core[0].copy_(torch.tensor([2.0, -1.0]).view(2, 1, 1))
    assert made.weights(torch.tensor([0.5, 0.5]))["weight"].item() == 1.5
    # (3 − 0)² and (3 − 4)²; (0 − 0)² and (0 − 4)²: in units of (1 + 9) / 2.
    found = made.own_losses(torch.eye(2))
    torch.testing.assert_close(found, torch.tensor([[9.0, 1.0], [0.0, 16.0]]) / 5)


def test_at_full_rank_the_least_weighted_distance_is_the_soup(members: Members) -> None:
    """Σ_t γ_t ‖θ − θ_t‖² has its minimum at Σ_t γ_t θ_t, which a core of full rank can be at every γ."""
    made = space(members, rank=6)
    trained = [p for group in made.parameter_groups(0.03) for p in group["params"]]
    assert not any(p.requires_grad for p in made.inner.shared)
    optimizer = torch.optim.Adam(trained, lr=0.03)
    drawn = torch.Generator().manual_seed(0)
    for step in range(300):
        for group in optimizer.param_groups:
            group["lr"] = 0.03 * (1 - step / 300)
        weights = torch.rand(8, generator=drawn)
        rows = torch.stack([weights, 1 - weights], dim=1)
        losses = made.own_losses(rows)
        assert losses is not None
        optimizer.zero_grad()
        (rows * losses).sum(dim=1).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    left, right = (state["shared.weight"] for state in members.states)
    for row in (*ROWS, torch.tensor([0.5, 0.5])):
        soup = row[0] * left + row[1] * right
        torch.testing.assert_close(made.weights(row)["shared.weight"], soup, atol=0.01, rtol=0.05)
        assert torch.equal(made.weights(row)["b.weight"], members.states[1]["b.weight"])


def test_what_is_trained_and_saved(members: Members) -> None:
    made = space(members)
    names = [name for names, _ in made.named_storage() for name in names]
    assert names == ["shared.weight.adapter_a", "shared.weight.adapter_b", "shared.weight.adapter_core"]
    (group,) = made.parameter_groups(0.1)
    assert len(group["params"]) == 3
    assert not [name for name in made.state_dict() if "target" in name or "size" in name]


def test_a_network_of_heads_alone_has_nothing_to_move(members: Members) -> None:
    with pytest.raises(SpecError, match="all weights that can have adapters are in heads"):
        space(members).aim(members, [[*HEADS[0], "shared.weight"], HEADS[1]])
