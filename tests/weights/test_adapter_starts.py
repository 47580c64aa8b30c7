"""Adapters that begin at the principal part of their weights, or at random: closed forms, and PEFT's own."""

from __future__ import annotations

import copy
import importlib.util

import pytest
import torch
from torch import Tensor, nn

from moframework.weights.adapted import Adapter
from moframework.weights.adapter_starts import factors_of, start_nonzero, start_principal
from moframework.weights.low_rank import LowRank, LowRankSpace
from moframework.weights.mixed import Mixed
from tests.weights.test_low_rank import Net

FORMS = ("loralib", "peft", "separable")


def made(network: nn.Module, m: int = 2, **options: object) -> LowRankSpace:
    space = LowRank(**options).build(lambda: network, m, None)  # type: ignore[arg-type]
    assert isinstance(space, LowRankSpace)
    return space


def away(space: LowRankSpace, network: nn.Module, preference: list[float]) -> float:
    """The largest difference of a weight from the network's."""
    theta = space.weights(torch.tensor(preference))
    with torch.no_grad():
        return max(float((value - network.get_parameter(name)).abs().max()) for name, value in theta.items())


def part(space: LowRankSpace, k: int, t: int) -> Tensor:
    """The scaled adapter of a task as a matrix."""
    q = space.adapted[k].inner
    return space.scale * space.b[k][:, t * q : (t + 1) * q].detach() @ space.a[k][t * q : (t + 1) * q].detach()


def test_adapters_are_the_best_of_their_rank() -> None:
    torch.manual_seed(0)
    adapter = Adapter("w", torch.Size((5, 4)), inner=2, rows=5, columns=4)
    low = torch.randn(5, 2) @ torch.randn(2, 4)
    a, b, left = factors_of(low, adapter, 0.5)
    torch.testing.assert_close(0.5 * b @ a, low.double())
    assert left == pytest.approx(0, abs=1e-9)
    full = torch.randn(5, 4)
    a, b, left = factors_of(full, adapter, 2.0)
    assert float((full - 2.0 * b @ a).square().sum()) == pytest.approx(left, rel=1e-6)
    values = torch.linalg.svdvals(full)
    assert left == pytest.approx(float(values[2:].square().sum()), rel=1e-4)


@pytest.mark.parametrize("conv", FORMS)
@pytest.mark.parametrize("alpha", [1.0, 6.0])
def test_principal_parts_leave_every_preference_the_network(conv: str, alpha: float) -> None:
    network = Net()
    space = made(network, m=3, rank=2, alpha=alpha, conv=conv)
    share = start_principal(space)
    assert 0.3 < share < 1
    for preference in ([1.0, 0.0, 0.0], [0.2, 0.5, 0.3], [1 / 3, 1 / 3, 1 / 3]):
        assert away(space, network, preference) < 1e-6
    for k, adapter in enumerate(space.adapted):
        assert torch.equal(part(space, k, 0), part(space, k, 2))
        weight = network.get_parameter(adapter.name).detach()
        ordered = weight if adapter.order is None else weight.permute(adapter.order)
        values = torch.linalg.svdvals(ordered.reshape(adapter.rows, adapter.columns).double())
        found = torch.linalg.svdvals(part(space, k, 1).double())
        torch.testing.assert_close(found[: adapter.inner], values[: adapter.inner], rtol=1e-4, atol=1e-6)
        rest = (weight - space._by_name()[adapter.name].detach()).abs().max()
        assert float(rest) > 0.01  # W0 holds the rest alone


def test_the_share_is_that_of_the_singular_values() -> None:
    network = nn.Sequential(nn.Linear(6, 5, bias=False))
    values = torch.linalg.svdvals(network[0].weight.detach().double())
    expected = float(values[:2].square().sum().sqrt() / values.norm())
    assert start_principal(made(network, rank=2)) == pytest.approx(expected)


def test_factors_share_singular_values_evenly() -> None:
    space = made(nn.Sequential(nn.Linear(7, 5)), rank=3, alpha=1.5)
    start_principal(space)
    a, b = space.a[0][:3].detach(), space.b[0][:, :3].detach()
    torch.testing.assert_close(a @ a.T, torch.diag((a @ a.T).diag()), atol=1e-5, rtol=0)
    torch.testing.assert_close((a @ a.T).diag(), (b.T @ b).diag(), atol=1e-5, rtol=1e-4)


def test_ranks_beyond_that_of_a_weight_can_still_learn() -> None:
    network = nn.Sequential(nn.Linear(9, 2))
    space = made(network, rank=4)
    drawn = space.a[0].detach().clone()
    assert start_principal(space) == 1
    assert float(space.shared[0].detach().abs().max()) < 1e-6
    for rows in (slice(2, 4), slice(6, 8)):
        assert torch.equal(space.a[0][rows], drawn[rows])
        assert not space.b[0][:, rows].any()
    assert away(space, network, [0.4, 0.6]) < 1e-6
    space.weights(torch.tensor([0.4, 0.6]))["0.weight"].square().sum().backward()
    assert all(bool((gradient != 0).any()) for gradient in space.b[0].grad.unbind(1))  # type: ignore[union-attr]


@pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="needs the extra peft")
@pytest.mark.parametrize("rank", [1, 3])
def test_principal_parts_are_those_of_peft(rank: int) -> None:
    import peft

    network = nn.Sequential(nn.Linear(8, 6))
    space = made(copy.deepcopy(network), rank=rank, alpha=5.0)
    start_principal(space)
    options = peft.LoraConfig(r=rank, lora_alpha=5, target_modules=["0"], init_lora_weights="pissa")
    layer = peft.get_peft_model(copy.deepcopy(network), options).base_model.model[0]
    scale = layer.scaling["default"]
    assert scale == pytest.approx(space.scale)
    theirs = scale * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    for t in range(2):
        torch.testing.assert_close(part(space, 0, t), theirs.detach(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(space.shared[0].detach(), layer.base_layer.weight.detach(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("conv", FORMS)
def test_at_random_the_center_is_the_network_and_nothing_else(conv: str) -> None:
    torch.manual_seed(1)
    network = Net()
    space = made(network, m=3, rank=2, conv=conv)
    far = start_nonzero(space, 0.3)
    assert away(space, network, [1 / 3, 1 / 3, 1 / 3]) < 1e-6
    corners = [space.weights(row) for row in torch.eye(3)]
    squares = whole = 0.0
    for adapter in space.adapted:
        weight = network.get_parameter(adapter.name).detach()
        moved = torch.stack([corner[adapter.name].detach() - weight for corner in corners])
        assert all(float(one.abs().max()) > 1e-3 for one in moved)
        torch.testing.assert_close(moved.sum(dim=0), torch.zeros_like(weight), atol=1e-5, rtol=0)
        squares, whole = squares + float(moved.square().sum()) / 3, whole + float(weight.square().sum())
    assert far == pytest.approx((squares / whole) ** 0.5, rel=1e-4)


def test_the_deviation_is_that_of_the_entries_of_b() -> None:
    found = []
    for deviation in (0.1, 0.2):
        torch.manual_seed(0)
        space = made(nn.Sequential(nn.Linear(64, 400)), rank=8)
        found.append(start_nonzero(space, deviation))
        assert float(space.b[0].detach().std()) == pytest.approx(deviation, rel=0.03)
        torch.manual_seed(0)
        again = made(nn.Sequential(nn.Linear(64, 400)), rank=8)
        start_nonzero(again, deviation)
        assert torch.equal(again.b[0], space.b[0])
    assert found[1] == pytest.approx(2 * found[0], rel=1e-3)


@pytest.mark.parametrize("start", [start_principal, lambda space: start_nonzero(space, 0.2)])
def test_members_for_other_preferences_and_rows_of_padding(start: object) -> None:
    network = nn.Sequential(nn.Embedding(5, 4, padding_idx=1), nn.Linear(4, 3))
    options = Mixed(space=LowRank(rank=2), trained_at=((0.9, 0.1), (0.5, 0.5)))
    space = options.build(lambda: network, 2, None)
    assert callable(start)
    start(space)
    for name, value in space.weights(torch.tensor([0.5, 0.5])).items():
        assert float((value - network.get_parameter(name)).detach().abs().max()) < 1e-6
    for preference in ([1.0, 0.0], [0.3, 0.7]):
        assert float(space.weights(torch.tensor(preference))["0.weight"][1].detach().abs().max()) < 1e-6


def test_a_weight_of_zeros_is_its_own_principal_part() -> None:
    network = nn.Sequential(nn.Linear(4, 3, bias=False))
    nn.init.zeros_(network[0].weight)
    assert start_principal(made(network, rank=1)) == 0
    space = made(network, rank=1)
    assert start_nonzero(space, 0.1) == 0  # no norm that it could be a share of
    assert bool(space.b[0].any())
    a, b, left = factors_of(torch.zeros(3, 4), space.adapted[0], 1.0)
    assert (float(a.abs().max()), float(b.abs().max()), left) == (0, 0, 0)
