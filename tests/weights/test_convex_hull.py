"""The hull of PaMaL's members."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from moframework.backbones.lenet import LeNet
from moframework.errors import SpecError
from moframework.weights.convex_hull import ConvexHull, ConvexHullSpace


def lenet() -> nn.Module:
    return LeNet().build((1, 28, 28), {"left": 10, "right": 10})


@pytest.mark.parametrize("m", [2, 3])
def test_parameters_are_m_times_the_networks(m: int) -> None:
    made = ConvexHull().build(lenet, m, None)
    assert sum(p.numel() for p in made.parameters()) == m * 27450


def test_vertices_are_independent_members_and_between_them_is_affine() -> None:
    made = ConvexHull().build(lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(4, 2)), 3, None)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    corners = [made.weights(row) for row in torch.eye(3)]
    assert all(not torch.equal(corners[0][name], corners[1][name]) for name in corners[0])
    preference = torch.tensor([0.2, 0.5, 0.3])
    for name, value in made.weights(preference).items():  # scales and shifts of the normalization too
        expected = torch.stack([p * corner[name] for p, corner in zip(preference, corners, strict=True)]).sum(dim=0)
        torch.testing.assert_close(value, expected)


def test_members_start_independently_or_all_from_given_weights() -> None:
    start = {name: value.detach() for name, value in lenet().named_parameters()}
    made = ConvexHull().build(lenet, 2, start)
    for preference in ([1.0, 0.0], [0.5, 0.5]):
        torch.testing.assert_close(made.weights(torch.tensor(preference)), start, check_device=False)
    fresh = ConvexHull().build(lenet, 2, None)
    one, other = (fresh.weights(row)["encoder.linear.weight"].flatten() for row in torch.eye(2))
    assert abs(float(nn.functional.cosine_similarity(one, other, dim=0).detach())) < 0.05


def test_learning_rate_is_the_papers_or_the_released_codes() -> None:
    def rate(space: ConvexHull) -> float:
        (group,) = space.build(lenet, 3, None).parameter_groups(0.1)
        return float(group["lr"])

    assert rate(ConvexHull()) == pytest.approx(0.3)
    assert rate(ConvexHull(lr_factor=1.0)) == pytest.approx(0.1)


def test_a_hull_of_a_part_shares_the_rest() -> None:
    made = ConvexHull(only=("2.*", "0.bias")).build(
        lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), 2, None
    )
    assert isinstance(made, ConvexHullSpace)
    first, second = (made.weights(row) for row in torch.eye(2))
    assert first["0.weight"] is second["0.weight"]
    assert not any(torch.equal(first[name], second[name]) for name in ("0.bias", "2.weight", "2.bias"))
    middle = made.weights(torch.tensor([0.25, 0.75]))
    torch.testing.assert_close(middle["2.weight"], 0.25 * first["2.weight"] + 0.75 * second["2.weight"])
    rates = {
        group["name"]: (group["lr"], sum(p.numel() for p in group["params"])) for group in made.parameter_groups(0.1)
    }
    assert rates == {"members": (0.2, 2 * (4 + 8 + 2)), "shared": (0.1, 12)}
    assert sorted(n for names, _ in made.named_storage() for n in names) == ["0.bias", "0.weight", "2.bias", "2.weight"]


def test_a_pattern_that_matches_nothing_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SpecError, match=r"only: '0.weights' matches no parameter .*did you mean '0.weight'"):
        ConvexHull(only="0.weights").build(lambda: nn.Sequential(nn.Linear(3, 4)), 2, None)
