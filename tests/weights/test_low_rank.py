"""The low-rank weight space against its equation, its published counts, and autograd."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from moframework.errors import SpecError
from moframework.layers.merge import merged_by_node
from moframework.weights.low_rank import LowRank, LowRankSpace


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, (3, 5), padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.group = nn.Conv2d(8, 8, 3, groups=4, bias=False)
        self.line = nn.Conv1d(8, 6, 3)
        self.head = nn.Linear(6, 4)


def space(net: nn.Module, m: int = 2, **options: object) -> LowRankSpace:
    made = LowRank(**options).build(lambda: net, m, None)
    assert isinstance(made, LowRankSpace)
    return made


def randomized(made: LowRankSpace) -> LowRankSpace:
    with torch.no_grad():
        for b in made.b:
            b.normal_()
    return made


@pytest.mark.parametrize("conv", ["loralib", "peft", "separable"])
def test_starts_at_the_network_for_every_preference(conv: str) -> None:
    net = Net()
    made = space(net, conv=conv)
    for preference in ([1.0, 0.0], [0.3, 0.7]):
        for name, value in made.weights(torch.tensor(preference)).items():
            assert torch.equal(value, net.get_parameter(name)), name


def test_linear_weight_is_the_papers_equation() -> None:
    made = randomized(space(nn.Sequential(nn.Linear(5, 7)), m=3, rank=2, alpha=3.0))
    preference = torch.tensor([0.2, 0.5, 0.3])
    expected = made.shared[0].clone()
    for t in range(3):  # one adapter after another, from the stacked storage
        a, b = made.a[0][2 * t : 2 * t + 2], made.b[0][:, 2 * t : 2 * t + 2]
        expected = expected + 3.0 / 2 * preference[t] * b @ a
    torch.testing.assert_close(made.weights(preference)["0.weight"], expected)


def test_loralib_convolution_is_the_product_viewed_as_the_kernel() -> None:
    made = randomized(space(nn.Sequential(nn.Conv2d(3, 4, 5)), rank=2))
    preference = torch.tensor([0.25, 0.75])
    a, b = made.a[0], made.b[0]
    assert a.shape == (2 * 10, 15)
    assert b.shape == (20, 2 * 10)
    product = sum(preference[t] * b[:, 10 * t : 10 * t + 10] @ a[10 * t : 10 * t + 10] for t in range(2))
    expected = made.shared[0] + 0.5 * product.reshape(4, 3, 5, 5)
    torch.testing.assert_close(made.weights(preference)["0.weight"], expected)


def test_peft_convolution_is_two_convolutions_in_a_row() -> None:
    made = randomized(space(nn.Sequential(nn.Conv2d(3, 4, 5, bias=False)), rank=2, conv="peft"))
    x = torch.randn(2, 3, 9, 9)
    got = nn.functional.conv2d(x, made.weights(torch.tensor([1.0, 0.0]))["0.weight"])
    a = made.a[0][:2].reshape(2, 3, 5, 5)
    b = made.b[0][:, :2].reshape(4, 2, 1, 1)
    expected = nn.functional.conv2d(x, made.shared[0])
    expected = expected + 0.5 * nn.functional.conv2d(nn.functional.conv2d(x, a), b)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_separable_convolution_is_a_row_of_filters_and_then_a_column() -> None:
    made = randomized(space(nn.Sequential(nn.Conv2d(3, 4, (5, 7), bias=False)), rank=2, conv="separable"))
    assert (made.a[0].shape, made.b[0].shape) == ((2 * 10, 7 * 3), (4 * 5, 2 * 10))
    x = torch.randn(2, 3, 9, 9)
    got = nn.functional.conv2d(x, made.weights(torch.tensor([1.0, 0.0]))["0.weight"])
    row = made.a[0][:10].view(10, 7, 3).permute(0, 2, 1).unsqueeze(2)
    column = made.b[0][:, :10].view(4, 5, 10).permute(0, 2, 1).unsqueeze(3)
    expected = nn.functional.conv2d(x, made.shared[0])
    expected = expected + 0.5 * nn.functional.conv2d(nn.functional.conv2d(x, row), column)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_separable_has_as_many_parameters_as_published() -> None:
    counts = {}
    for conv in ("loralib", "separable"):
        made = space(nn.Sequential(nn.Conv2d(6, 8, 3), nn.ConvTranspose2d(8, 4, 3)), rank=2, m=3, conv=conv)
        counts[conv] = sum(p.numel() for p in itertools.chain(made.a, made.b))
    assert counts["loralib"] == counts["separable"]


def test_is_linear_in_the_preference() -> None:
    made = randomized(space(Net(), m=3))
    corners = [made.weights(row) for row in torch.eye(3)]
    preference = torch.tensor([0.1, 0.6, 0.3])
    for name, value in made.weights(preference).items():
        expected = sum(p * corner[name] for p, corner in zip(preference, corners, strict=True))
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("conv", ["loralib", "peft", "separable"])
def test_adapters_and_shared_weights_get_gradients(conv: str) -> None:
    made = randomized(space(Net(), conv=conv))
    sum((value + 1).square().sum() for value in made.weights(torch.tensor([0.4, 0.6])).values()).backward()
    for parameter in made.parameters():
        assert parameter.grad is not None
        assert bool((parameter.grad != 0).any())


@pytest.mark.parametrize(("m", "rank"), [(2, 1), (2, 4), (3, 1)])
def test_parameter_overhead_is_the_formula(m: int, rank: int) -> None:
    net = Net()
    made = space(net, m=m, rank=rank)
    # loralib, per objective: r·k0·(in·k1) + (out/groups·k0)·(r·k0); the published form for square kernels
    conv = rank * 3 * (3 * 5) + (8 * 3) * rank * 3
    group = rank * 3 * (8 * 3) + (8 // 4 * 3) * rank * 3
    line = rank * 3 * 8 + (6 * 3) * rank * 3
    head = rank * (6 + 4)
    added = sum(p.numel() for p in itertools.chain(made.a, made.b))
    assert added == m * (conv + group + line + head)
    assert sum(p.numel() for p in made.parameters()) == sum(p.numel() for p in net.parameters()) + added


def test_adapter_learning_rate_is_m_times_the_base() -> None:
    rates = {group["name"]: group["lr"] for group in space(Net(), m=3).parameter_groups(0.1)}
    assert rates == {"shared": pytest.approx(0.1), "adapters": pytest.approx(0.3)}
    rates = {group["name"]: group["lr"] for group in space(Net(), m=3, lr_factor=1.5).parameter_groups(0.1)}
    assert rates["adapters"] == pytest.approx(0.15)


def test_groups_hold_every_parameter_once() -> None:
    made = space(Net())
    held = [id(p) for group in made.parameter_groups(1.0) for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in made.parameters())


def test_tied_weights_get_one_adapter() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net[1].weight = net[0].weight
    made = space(net)
    assert len(made.a) == 1
    assert set(made.weights(torch.tensor([0.5, 0.5]))) == {"0.weight", "0.bias", "1.bias"}


def test_starts_from_given_weights() -> None:
    initial = {"0.weight": torch.ones(2, 3), "0.bias": torch.zeros(2)}
    made = LowRank().build(lambda: nn.Sequential(nn.Linear(3, 2)), 2, initial)
    assert torch.equal(made.weights(torch.tensor([0.5, 0.5]))["0.weight"], torch.ones(2, 3))


def test_network_without_adaptable_layers_is_refused() -> None:
    with pytest.raises(SpecError, match=r"at least one Linear, Embedding, convolution or attention.*LayerNorm"):
        space(nn.LayerNorm(4))


def test_transposed_and_grouped_kernels_are_the_product_in_order_of_memory() -> None:
    made = randomized(space(nn.Sequential(nn.ConvTranspose2d(4, 6, (3, 2), groups=2)), rank=2))
    a, b = made.a[0], made.b[0]
    assert a.shape == (2 * 6, 3 * 2 * 2)  # rank · 3 rows each; outputs per group · groups · 2 columns
    assert b.shape == (4 // 2 * 3, 2 * 6)
    product = (b[:, :6] @ a[:6]).reshape(4, 3, 3, 2)
    torch.testing.assert_close(made.weights(torch.tensor([1.0, 0.0]))["0.weight"], made.shared[0] + 0.5 * product)


def test_embedding_rows_of_padding_stay() -> None:
    net = nn.Sequential(nn.Embedding(5, 3, padding_idx=1))
    made = space(net, rank=2)
    x = torch.tensor([[0, 1, 2, 1]])
    for _ in range(3):
        weight = made.weights(torch.tensor([0.5, 0.5]))["0.weight"]
        nn.functional.embedding(x, weight, padding_idx=1).sum().backward()
        with torch.no_grad():
            for p in made.parameters():
                p -= 0.1 * p.grad if p.grad is not None else 0
    assert bool((made.weights(torch.tensor([1.0, 0.0]))["0.weight"][1] == 0).all())


def test_projections_of_attention_are_adapted() -> None:
    made = space(nn.MultiheadAttention(6, 2), rank=1)
    assert [tuple(b.shape) for b in made.b] == [(18, 2), (6, 2)]
    apart = space(nn.MultiheadAttention(6, 2, kdim=4, vdim=3), rank=1)
    assert [tuple(a.shape) for a in apart.a] == [(2, 6), (2, 4), (2, 3), (2, 6)]


def test_frozen_weights_get_no_adapter() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[0].weight.requires_grad_(False)
    assert len(space(net).a) == 1


def test_orthogonality_is_that_of_the_whole_products() -> None:
    made = randomized(space(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 5)), m=3, orthogonal=0.5))
    corners = [made.weights(row) for row in torch.eye(3)]
    expected = torch.zeros(())
    for name, base in (("0.weight", made.shared[0]), ("2.weight", made.shared[2])):
        w = torch.stack([(corner[name] - base).flatten() for corner in corners], dim=1)
        w = w / w.norm(dim=0)
        expected = expected + ((w.T @ w) * (1 - torch.eye(3))).square().sum()
    penalty = made.penalty()
    assert penalty is not None
    torch.testing.assert_close(penalty, 0.5 * expected, rtol=1e-3, atol=1e-5)
    assert space(Net()).penalty() is None


def test_the_penalty_starts_at_zero_with_finite_gradients() -> None:
    made = space(Net(), orthogonal=1.0)
    penalty = made.penalty()
    assert penalty is not None
    penalty.backward()
    assert float(penalty.detach()) == 0
    assert all(bool(p.grad.isfinite().all()) for p in (*made.a, *made.b) if p.grad is not None)


def test_the_shared_network_is_frozen_late() -> None:
    net = Net()
    net.norm.weight.requires_grad_(False)
    made = space(net, freeze_after=0.8)
    for progress, count in ((0.1, 0), (0.8, 0), (0.81, 9), (1.0, 9), (0.5, 0)):  # a function of progress alone
        made.progressed(progress)
        assert sum(not p.requires_grad for p in made.shared) == (count or 1)
        weights = made.weights(torch.tensor([0.5, 0.5]))
        assert weights["conv.weight"].requires_grad
        assert weights["conv.bias"].requires_grad == (count == 0)
    space(net).progressed(1.0)


def test_adapters_are_told_apart_from_what_is_shared() -> None:
    """What accelerations ask a space for: for each adapted weight what it is merged of, and everything else."""
    made = randomized(space(Net(), m=3))
    preferences = torch.rand(2, 3)
    thetas, unadapted = made.weights_of(preferences), made.unadapted()
    assert sorted([*(each.name for each in made.adapted), *unadapted]) == sorted(thetas[0])
    assert [each.name for each in made.adapted] == ["conv.weight", "group.weight", "line.weight", "head.weight"]
    for name, value in unadapted.items():
        assert value is thetas[0][name] is thetas[1][name]
    names = []
    for adapter, base, b, a, factors in made.adapters(preferences):
        names.append(adapter.name)
        assert (adapter.shape, factors.shape) == (base.shape, (2, 3 * adapter.inner))
        for row, theta in zip(factors, thetas, strict=True):
            expected = base + ((b * row) @ a).view(base.shape)
            torch.testing.assert_close(theta[adapter.name], expected, rtol=1e-4, atol=1e-5)
    assert names == [each.name for each in made.adapted]


@pytest.mark.parametrize("conv", ["loralib", "peft", "separable"])
def test_only_linear_layers_and_plain_convolutions_can_apply_their_adapter(conv: str) -> None:
    made = space(Net(), conv=conv)
    applies = {adapter.name: adapter.applies for adapter, *_ in made.adapters(torch.ones(1, 2) / 2)}
    assert applies == {"conv.weight": True, "group.weight": False, "line.weight": False, "head.weight": True}


def test_another_way_to_merge_may_stand_in() -> None:
    made = randomized(space(nn.Sequential(nn.Linear(400, 400))))
    at = torch.tensor([0.4, 0.6])
    expected = made.weights(at)["0.weight"]
    made.merge = merged_by_node
    found = made.weights(at)["0.weight"]
    assert type(found.grad_fn).__name__ == "_MergedBackward"
    assert torch.equal(found, expected)
