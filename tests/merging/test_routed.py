"""Routers between frozen members."""

from __future__ import annotations

import pytest
import torch

from moframework.merging.members import Members
from moframework.merging.routed import Routed, RoutedSpace
from tests.merging.two_heads import TwoHeads, disturbed

HEADS = [["a.0.weight", "a.0.bias", "a.1.weight", "a.1.bias"], ["b.weight", "b.bias"]]


@pytest.fixture
def members() -> Members:
    torch.manual_seed(0)
    start = TwoHeads().state_dict()
    return Members([disturbed(start, 1), disturbed(start, 2)], start)


def space(members: Members, **options: object) -> RoutedSpace:
    made = Routed(**options).build(TwoHeads, 2, None)  # type: ignore[arg-type]
    assert isinstance(made, RoutedSpace)
    made.take(members, HEADS)
    return made


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(("groups", "count"), [("block", 5), ("layer", 5), ("all", 1)])
def test_the_start_is_task_arithmetic_at_every_preference(
    members: Members, layers: int, groups: str, count: int
) -> None:
    made = space(members, layers=layers, groups=groups)
    assert made.coefficients(torch.tensor([0.4, 0.6])).shape == (count, 2)
    assert members.base is not None
    base = members.base["shared.weight"]
    sum_of_all = base + 0.3 * sum(state["shared.weight"] - base for state in members.states)
    for preference in ([1.0, 0.0], [0.2, 0.8]):
        theta = made.weights(torch.tensor(preference))
        torch.testing.assert_close(theta["shared.weight"], sum_of_all, atol=0.02, rtol=0)
        assert torch.equal(theta["b.weight"], members.states[1]["b.weight"])


@pytest.mark.parametrize("layers", [1, 2])
def test_each_group_has_the_coefficients_of_its_own_router(members: Members, layers: int) -> None:
    made = space(members, layers=layers)
    assert members.base is not None
    at = torch.tensor([0.25, 0.75])
    for place, name in enumerate(("shared", "norm")):
        hidden = at
        for depth, (weight, bias) in enumerate(zip(made.weight, made.bias, strict=True)):
            hidden = weight[place] @ hidden + bias[place]
            hidden = hidden.relu() if depth < layers - 1 else hidden
        torch.testing.assert_close(made.coefficients(at)[place], hidden)
        base = members.base[f"{name}.weight"]
        wanted = base + sum(
            c * (state[f"{name}.weight"] - base) for c, state in zip(hidden, members.states, strict=True)
        )
        torch.testing.assert_close(made.weights(at)[f"{name}.weight"], wanted)


def test_routers_alone_are_trained(members: Members) -> None:
    made = space(members, layers=2)
    trained = [p for p in made.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trained) == 5 * (4 * 2 * 2 + 3 * 2)
    assert {id(p) for p in trained} == {id(p) for p in made.parameter_groups(1.0)[0]["params"]}
    made.weights(torch.tensor([0.5, 0.5]))["shared.bias"].sum().backward()
    assert made.stored.vectors.grad is None
    assert made.bias[1].grad is not None
    assert made.bias[1].grad[0].abs().min() > 0
    assert not made.bias[1].grad[1:].any()
