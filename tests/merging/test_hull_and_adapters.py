"""Members in a convex hull, and as adapters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from moframework import check, solve
from moframework.errors import SpecError
from moframework.merging.adapters import fill_adapters
from moframework.merging.hull import FrozenHull, FrozenHullSpace, fill_hull
from moframework.merging.members import Members
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.low_rank import LowRank, LowRankSpace
from moframework.weights.mixed import Mixed
from tests.merging.two_heads import TwoHeads, disturbed
from tests.solvers.tiny import DIGITS, planned, solved, spec

HEADS = [["a.0.weight", "a.0.bias", "a.1.weight", "a.1.bias"], ["b.weight", "b.bias"]]


@pytest.fixture
def members() -> Members:
    torch.manual_seed(0)
    start = TwoHeads().state_dict()
    return Members([disturbed(start, 1), disturbed(start, 2)], start)


@pytest.mark.parametrize("options", [ConvexHull(), FrozenHull(frozen=(1,))])
def test_a_hull_of_members(members: Members, options: ConvexHull) -> None:
    made = options.build(TwoHeads, 2, None)
    fill_hull(made, members, HEADS)
    left, right = members.states
    theta = made.weights(torch.tensor([0.3, 0.7]))
    torch.testing.assert_close(theta["shared.weight"], 0.3 * left["shared.weight"] + 0.7 * right["shared.weight"])
    torch.testing.assert_close(theta["a.0.weight"], left["a.0.weight"])
    torch.testing.assert_close(theta["b.bias"], right["b.bias"])
    torch.testing.assert_close(made.weights_of(torch.eye(2))[1]["norm.bias"], right["norm.bias"])


def test_members_that_stand_for_other_preferences(members: Members) -> None:
    rows = ((0.8, 0.2), (0.1, 0.9))
    made = Mixed(space=ConvexHull(), trained_at=rows).build(TwoHeads, 2, None)
    fill_hull(made, members, HEADS)
    low = Mixed(space=LowRank(rank=6), trained_at=rows).build(TwoHeads, 2, None)
    fill_adapters(low, members, HEADS)
    for row, state in zip(torch.tensor(rows), members.states, strict=True):
        torch.testing.assert_close(made.weights(row)["shared.weight"], state["shared.weight"])
        torch.testing.assert_close(low.weights(row)["shared.weight"], state["shared.weight"], atol=1e-5, rtol=1e-5)


def test_a_held_member_gets_no_gradient(members: Members) -> None:
    made = FrozenHull(frozen=(1,)).build(TwoHeads, 2, None)
    assert isinstance(made, FrozenHullSpace)
    trained = {id(p) for p in made.parameters() if p.requires_grad}
    assert trained == {id(p) for p in made.trained.parameters()}
    assert trained == {id(p) for group in made.parameter_groups(1.0) for p in group["params"]}
    made.weights(torch.tensor([0.5, 0.5]))["b.weight"].sum().backward()
    assert all(p.grad is None for p in made.held.parameters())
    assert made.parameter_groups(1.0)[0]["lr"] == 2.0
    with pytest.raises(SpecError, match="some, not all"):
        FrozenHull(frozen=(0, 1)).build(TwoHeads, 2, None)


@pytest.mark.parametrize("conv", ["loralib", "peft", "separable"])
def test_adapters_of_full_rank_give_the_members(conv: str, tmp_path: Path) -> None:
    network = planned("palora").spec.problem.backbone()
    torch.manual_seed(0)
    start = network.state_dict()
    states = [disturbed(start, seed, size=0.05) for seed in (1, 2)]
    members = Members(states, start)
    space = LowRank(rank=64, conv=conv).build(lambda: network, 2, None)  # type: ignore[arg-type]
    assert isinstance(space, LowRankSpace)
    assert fill_adapters(space, members, [[], []]) == [
        "adapters hold 100% of the norm of what members changed in the adapted weights"
    ]
    for state, row in zip(states, torch.eye(2), strict=True):
        theta = space.weights(row)
        for adapter in space.adapted:
            torch.testing.assert_close(theta[adapter.name], state[adapter.name], atol=1e-5, rtol=1e-4)


def test_runs_start_from_members(tmp_path: Path) -> None:
    solve(spec("single", steps=6), tmp_path / "base")
    solve(spec({"name": "stl", "initial": str(tmp_path / "base")}, steps=4), tmp_path / "tuned")
    given = {"members": str(tmp_path / "tuned"), "initial": str(tmp_path / "base")}
    run = solved({"name": "palora", "rank": 2, **given}, tmp_path / "palora")
    assert "adapters hold " in (run.path / "report.txt").read_text()
    ready = planned({"name": "pamal", "members": given["members"], "frozen": [0]})
    before = {name: value.clone() for name, value in ready.model.state_dict().items()}
    after = solved({"name": "pamal", "members": given["members"], "frozen": [0]}, tmp_path / "pamal").model()
    changed = {name for name, value in after.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("space.trained.") for name in changed)
    for solver, said in (
        ({"name": "pamal", **given}, "give one network that all members start from, or members"),
        ({"name": "palora", "members": given["members"]}, "name that network"),
    ):
        with pytest.raises(SpecError, match=said):
            check({"problem": DIGITS, "solver": solver})
