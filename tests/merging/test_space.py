"""θ(λ) of merged networks."""

from __future__ import annotations

import pytest
import torch

from moframework.merging.lines import LiNeS
from moframework.merging.members import Members
from moframework.merging.space import Merged, MergedSpace
from moframework.merging.ties import TIES
from tests.merging.two_heads import TwoHeads, disturbed

HEADS = [["a.0.weight", "a.0.bias", "a.1.weight", "a.1.bias"], ["b.weight", "b.bias"]]


@pytest.fixture
def members() -> Members:
    torch.manual_seed(0)
    start = TwoHeads().state_dict()
    return Members([disturbed(start, 1), disturbed(start, 2)], start)


def space(members: Members, **options: object) -> MergedSpace:
    made = Merged(**options).build(TwoHeads, 2, None)  # type: ignore[arg-type]
    assert isinstance(made, MergedSpace)
    made.take(members, HEADS)
    return made


def test_a_soup_is_the_weighted_mean_with_the_heads_of_their_members(members: Members) -> None:
    theta = space(members).weights(torch.tensor([0.3, 0.7]))
    left, right = members.states
    assert list(theta) == [name for name, _ in TwoHeads().named_parameters()]
    torch.testing.assert_close(theta["shared.weight"], 0.3 * left["shared.weight"] + 0.7 * right["shared.weight"])
    for preference in ([1.0, 0.0], [0.0, 1.0]):
        theta = space(members).weights(torch.tensor(preference))
        assert torch.equal(theta["a.1.weight"], left["a.1.weight"])
        assert torch.equal(theta["b.bias"], right["b.bias"])
    torch.testing.assert_close(theta["shared.bias"], right["shared.bias"])


def test_a_soup_needs_no_base(members: Members) -> None:
    alone = space(Members(members.states, None))
    for preference in torch.tensor([[0.3, 0.7], [1.0, 0.0]]):
        for name, value in alone.weights(preference).items():
            torch.testing.assert_close(value, space(members).weights(preference)[name])


def test_task_arithmetic_is_the_sum_at_the_center(members: Members) -> None:
    theta = space(members, scale=2.0).weights(torch.tensor([0.5, 0.5]))["shared.weight"]
    assert members.base is not None
    base = members.base["shared.weight"]
    torch.testing.assert_close(theta, base + sum(state["shared.weight"] - base for state in members.states))


def test_depth_scales_what_was_merged(members: Members) -> None:
    made = Merged(lines=LiNeS(beta=1.0)).build(TwoHeads, 2, None)
    assert isinstance(made, MergedSpace)
    assert made.take(members, HEADS) == ["LiNeS: factors from 1 to 2 over the blocks shared, norm"]
    theta, plain = (one.weights(torch.tensor([0.5, 0.5])) for one in (made, space(members)))
    assert members.base is not None
    for name, factor in (("shared.weight", 1.0), ("norm.weight", 2.0)):
        torch.testing.assert_close(theta[name] - members.base[name], factor * (plain[name] - members.base[name]))
    assert torch.equal(theta["b.weight"], plain["b.weight"])


def test_alpha_is_a_ratio_of_norms_where_signs_were_elected(members: Members) -> None:
    made = space(members, merge=TIES(density=0.5), lines=LiNeS())
    plain = space(members, merge=TIES(density=1.0))
    total = float(plain.stored.vectors.sum(dim=0).abs().sum())
    center = made.options.merge.combined(made.stored.vectors, torch.tensor([0.5, 0.5]))
    assert float(made.factors.min()) == pytest.approx(total / (2 * float(center.abs().sum())), rel=1e-5)


def test_members_may_lie_between_the_vertices(members: Members) -> None:
    made = space(members, trained_at=((0.8, 0.2), (0.2, 0.8)))
    theta = made.weights(torch.tensor([0.8, 0.2]))["shared.weight"]
    torch.testing.assert_close(theta, members.states[0]["shared.weight"])


def test_nothing_is_trained(members: Members) -> None:
    made = space(members)
    assert not [p for p in made.parameters() if p.requires_grad]
    assert made.parameter_groups(1.0)[0]["params"] == []
