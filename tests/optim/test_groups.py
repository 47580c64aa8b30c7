"""Groups of parameters by pattern, in every weight space."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from moframework.config.structure import build
from moframework.errors import SpecError
from moframework.optim import Optimizer, ParameterGroup, describe_groups, split_groups
from moframework.optim.groups import group_number
from moframework.weights import WeightSpace, WeightSpaceConfig

ADAMW = build(Optimizer, {"name": "adamw", "lr": 0.1})  # type: ignore[type-abstract]
NO_DECAY = ParameterGroup(match="*.bias", weight_decay=0.0)
SLOW = ParameterGroup(match=("body.*", "stem.*"), lr_factor=0.1)


def network() -> nn.Module:
    return nn.ModuleDict({"stem": nn.Conv2d(1, 2, 3), "body": nn.Linear(4, 4), "head": nn.Linear(4, 2)})


def space(name: str, **options: Any) -> WeightSpace:
    torch.manual_seed(0)
    return build(WeightSpaceConfig, {"name": name, **options}).build(network, 2, None)  # type: ignore[type-abstract]


def groups(space: WeightSpace, *wanted: ParameterGroup, optimizer: Optimizer = ADAMW) -> dict[str, dict[str, Any]]:
    space.separate(lambda name: group_number(name, wanted))
    made = split_groups(space.parameter_groups(optimizer.lr), space.named_storage(), wanted, optimizer)
    assert sorted(map(id, _all(made))) == sorted(map(id, _all(space.parameter_groups(optimizer.lr))))
    return {group["name"]: group for group in made}


def _all(groups: list[dict[str, Any]]) -> list[Tensor]:
    return [p for group in groups for p in group["params"]]


def test_a_pattern_divides_each_group_and_the_first_one_counts() -> None:
    made = groups(space("low_rank", rank=1), NO_DECAY, SLOW)
    assert {name: (group["lr"], group.get("weight_decay")) for name, group in made.items()} == {
        "shared": (0.1, None),
        "shared:*.bias": (0.1, 0.0),
        "shared:body.*,stem.*": (pytest.approx(0.01), None),
        "adapters": (0.2, None),
        "adapters:body.*,stem.*": (pytest.approx(0.02), None),
    }
    assert [tuple(p.shape) for p in made["shared"]["params"]] == [(2, 4)]
    assert len(made["shared:*.bias"]["params"]) == 3
    assert len(made["adapters"]["params"]) == 2
    assert describe_groups(list(made.values()))[1] == "shared:*.bias: 8 parameters at 0.1, weight decay 0"


def test_adapters_go_by_the_name_of_their_weight() -> None:
    made = groups(space("low_rank", rank=1), ParameterGroup(match="head.weight.adapter_?", lr_factor=3.0))
    assert made["adapters:head.weight.adapter_?"]["lr"] == pytest.approx(0.6)
    assert len(made["adapters:head.weight.adapter_?"]["params"]) == 2


@pytest.mark.parametrize(
    ("name", "sets"),
    [("finite", 2), ("chunked_hypernetwork", 1), ("low_rank", 1), ("convex_hull", 2), ("hypernetwork", 6)],
)
def test_every_space_has_the_names_of_the_network(name: str, sets: int) -> None:
    options = {"finite": {"anchors": [[1.0, 0.0], [0.0, 1.0]]}, "hypernetwork": {"hidden": [5]}}
    made = space(name, **options.get(name, {}))
    state = {key: value.clone() for key, value in made.state_dict().items()}
    before = made.weights(torch.tensor([0.3, 0.7]))
    biases = ParameterGroup(match=("stem.bias", "body.bias", "head.bias"), weight_decay=0.0)
    (own,) = [group for group in groups(made, biases).values() if group.get("weight_decay") == 0]
    assert sum(p.numel() for p in own["params"]) == 8 * sets
    # What lay in one tensor is the same, and is saved and read as before.
    torch.testing.assert_close(made.weights(torch.tensor([0.3, 0.7])), before)
    torch.testing.assert_close(made.state_dict(), state)
    made.load_state_dict({key: value + 1 for key, value in state.items()})
    torch.testing.assert_close(made.state_dict(), {key: value + 1 for key, value in state.items()})


def test_a_space_that_keeps_several_in_one_tensor_refuses_a_part_of_them() -> None:
    made = space("convex_hull")
    with pytest.raises(SpecError, match="in one tensor"):
        split_groups(made.parameter_groups(0.1), made.named_storage(), [NO_DECAY], ADAMW)


def test_a_hypernetwork_is_matched_beside_what_it_gives() -> None:
    made = groups(space("hypernetwork", hidden=[5]), ParameterGroup(match="hypernetwork.*", lr_factor=2.0))
    assert made["hypernetwork:hypernetwork.*"]["lr"] == pytest.approx(0.2)
    assert len(made["hypernetwork:hypernetwork.*"]["params"]) == 4


def test_an_optimizer_steps_them_by_their_own_rates() -> None:
    made = space("low_rank", rank=1)
    optimizer = build(Optimizer, {"name": "sgd", "lr": 1.0})  # type: ignore[type-abstract]
    found = groups(made, ParameterGroup(match="head.bias", lr_factor=0.5), optimizer=optimizer)
    before = {name: p.detach().clone() for names, p in made.named_storage() for name in names}
    stepped = optimizer.build(list(found.values()), torch.device("cpu"))
    for p in made.parameters():
        p.grad = torch.ones_like(p)
    stepped.step()
    moved = {name: float((before[name] - p.detach()).mean()) for names, p in made.named_storage() for name in names}
    assert moved["head.bias"] == pytest.approx(0.5)
    assert moved["body.bias"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("group", "words"),
    [
        (
            ParameterGroup(match="*.bias2"),
            r"parameter_groups.0.match: '\*.bias2' matches no trained parameter.*did you mean",
        ),
        (ParameterGroup(match=("*.bias", "encoder.*")), "'encoder.*' matches no trained parameter"),
    ],
)
def test_a_pattern_that_matches_nothing_is_an_error(group: ParameterGroup, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        groups(space("low_rank"), group)


def test_weight_decay_needs_an_optimizer_that_has_it() -> None:
    rprop = build(Optimizer, "rprop")  # type: ignore[type-abstract]
    with pytest.raises(SpecError, match=r"parameter_groups.0.weight_decay: the optimizer Rprop has none"):
        groups(space("low_rank"), NO_DECAY, optimizer=rprop)
