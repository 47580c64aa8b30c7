"""Bilinear adapters against their equation, `low_rank`, and their promised sizes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from moframework.backbones.resnet import ResNet
from moframework.weights import WeightSpaceConfig
from moframework.weights.bilinear import Bilinear, BilinearSpace
from moframework.weights.low_rank import AdapterSpace, LowRank

M, PREFERENCES = 3, torch.tensor([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]])


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 4))


def space(options: WeightSpaceConfig, m: int = M, make: type[nn.Module] | None = None) -> AdapterSpace:
    torch.manual_seed(0)
    made = options.build(network if make is None else make, m, None)
    assert isinstance(made, AdapterSpace)
    return made


def test_a_hand_worked_example() -> None:
    made = BilinearSpace(nn.Linear(2, 2, bias=False), 2, Bilinear(rank=2, alpha=4.0), None)
    with torch.no_grad():
        made.shared[0].zero_()
        made.a[0].copy_(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
        made.b[0].copy_(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
        made.core[0].copy_(torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 2.0], [0.0, 4.0]]]))
    # C = [[.5, 1], [0, 2]]; C A = [[.5, 2], [0, 2]]; B C A = [[.5, 2], [.5, 4]], times α/r = 2.
    found = made.weights(torch.tensor([0.5, 0.5]))["weight"]
    torch.testing.assert_close(found, torch.tensor([[1.0, 4.0], [1.0, 8.0]]))


@pytest.mark.parametrize("conv", ["loralib", "peft", "separable"])
def test_a_diagonal_core_is_low_rank_exactly(conv: str) -> None:
    own = space(Bilinear(rank=2, alpha=3.0, core="diagonal", conv=conv))  # type: ignore[arg-type]
    other = space(LowRank(rank=2, alpha=3.0, conv=conv))  # type: ignore[arg-type]
    for made in (own, other):
        torch.manual_seed(1)
        for b in made.factors["adapter_b"]:
            nn.init.normal_(b)
    for one, same in zip(own.weights_of(PREFERENCES), other.weights_of(PREFERENCES), strict=True):
        assert all(torch.equal(value, same[name]) for name, value in one.items())
    with torch.no_grad():
        own.factors["adapter_core"][1].fill_(2.0)  # twice the distance from W0, of one weight
    moved, before = own.weights(PREFERENCES[0]), other.weights(PREFERENCES[0])
    base = dict(zip(own._names, own.shared, strict=True))["3.weight"]
    torch.testing.assert_close(moved["3.weight"] - base, 2 * (before["3.weight"] - base))
    assert torch.equal(moved["0.weight"], before["0.weight"])


@pytest.mark.parametrize("core", ["full", "diagonal"])
def test_the_free_part_is_the_same_for_all_preferences(core: str) -> None:
    made = space(Bilinear(rank=2, alpha=3.0, core=core, free_rank=3))  # type: ignore[arg-type]
    assert isinstance(made, BilinearSpace)
    for b in made.b:
        nn.init.normal_(b)
    a, b, c, free = made.a[1], made.b[1], made.core[1], made.free[1]
    expected = b[:, :3] @ (free if core == "full" else free.diag()) @ a[:3]
    for preference in PREFERENCES:
        own = c * preference.repeat_interleave(2).diag() if core == "diagonal" else torch.einsum("t,tij", preference, c)
        value = 1.5 * (expected + b[:, 3:] @ own @ a[3:]) + dict(zip(made._names, made.shared, strict=True))["3.weight"]
        torch.testing.assert_close(made.weights(preference)["3.weight"], value)


@pytest.mark.parametrize("core", ["full", "diagonal"])
def test_starts_at_the_network_and_moves_from_there(core: str) -> None:
    made = space(Bilinear(core=core))  # type: ignore[arg-type]
    start = dict(zip(made._names, made.shared, strict=True))
    for theta in made.weights_of(PREFERENCES):
        assert all(torch.equal(value, start[name]) for name, value in theta.items())
    optimizer = torch.optim.SGD(made.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        apart = made.weights(PREFERENCES[0])["3.weight"].sum() - made.weights(PREFERENCES[1])["3.weight"].square().sum()
        apart.backward()
        optimizer.step()
    first, second = made.weights_of(PREFERENCES)
    assert not torch.allclose(first["3.weight"], second["3.weight"])
    assert all(bool(p.grad.any()) for p in made.factors["adapter_core"][1:] if p.grad is not None)


def test_a_base_that_is_not_trained_stays_and_is_in_no_group() -> None:
    made = space(Bilinear(train_base=False, free_rank=2))
    (group,) = made.parameter_groups(0.5)
    assert (group["name"], group["lr"]) == ("adapters", 0.5)
    assert {id(p) for p in group["params"]} == {id(p) for p in made.parameters() if p.requires_grad}
    names = [name for names, _ in made.named_storage() for name in names]
    assert names[:2] == ["0.weight.adapter_a", "3.weight.adapter_a"]
    assert names[-1] == "3.weight.adapter_free"


def test_forty_tasks_cost_at_most_a_fifth_of_forty_adapters() -> None:
    def make() -> nn.Module:
        return ResNet(stem="small").build((3, 32, 32), {f"t{i}": 1 for i in range(40)})

    plain = sum(p.numel() for p in make().parameters())
    counts = [
        sum(p.numel() for p in space(options, 40, make).parameters()) - plain  # type: ignore[arg-type]
        for options in (Bilinear(), LowRank())
    ]
    assert counts[0] <= 0.2 * counts[1]
