"""Linear combinations of parameter sets, against one sum a tensor."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from moframework.weights.stacked import Stacked
from moframework.weights.starting import starting_values


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(4, 5), nn.PReLU())


def sets(count: int) -> list[dict[str, nn.Parameter]]:
    return [starting_values(network(), None) for _ in range(count)]


def expected(members: list[dict[str, nn.Parameter]], coefficients: Tensor) -> dict[str, Tensor]:
    return {name: sum(c * one[name] for c, one in zip(coefficients, members, strict=True)) for name in members[0]}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_is_the_sum(count: int) -> None:
    members = sets(count)
    coefficients = torch.randn(count)
    made = Stacked(members)
    for order in (torch.contiguous_format, torch.channels_last):
        result = made.to(memory_format=order).combine(coefficients.unsqueeze(0))[0]  # type: ignore[call-overload]
        torch.testing.assert_close(result, expected(members, coefficients))


def test_gradients_reach_sets_and_coefficients() -> None:
    members, coefficients = sets(3), torch.randn(3, requires_grad=True)
    weight = {name: torch.randn_like(value) for name, value in members[0].items()}

    def loss(theta: dict[str, Tensor]) -> Tensor:
        return torch.stack([(theta[name].sin() * weight[name]).sum() for name in weight]).sum()

    made = Stacked(members)
    loss(made.combine(coefficients.unsqueeze(0))[0]).backward()
    found = coefficients.grad
    coefficients.grad = None
    loss(expected(members, coefficients)).backward()
    torch.testing.assert_close(found, coefficients.grad)
    kernels = torch.cat([one["0.weight"].grad for one in members])
    torch.testing.assert_close(made.kernels[0].grad, kernels)
    assert len(made.flat) == 1
    rows = [torch.cat([one[n].grad.flatten() for n in one if n != "0.weight"]) for one in members]
    assert made.flat[0].grad is not None
    torch.testing.assert_close(made.flat[0].grad.sum(dim=1), torch.stack(rows).sum(dim=1))


def test_holds_each_number_once_and_frozen_ones_for_all_sets() -> None:
    members = sets(3)
    for one in members:
        one["1.weight"].requires_grad_(False)
    made = Stacked(members)
    assert sum(p.numel() for p in made.parameters() if p.requires_grad) == 3 * (3 * 4 * 9 + 4 + 4 + 25 + 1)
    assert made.combine(torch.randn(1, 3))[0]["1.weight"] is members[0]["1.weight"]


def test_types_are_kept_apart() -> None:
    mixed = nn.ModuleDict({"one": nn.Linear(2, 2), "two": nn.Linear(2, 2).double()})
    result = Stacked([starting_values(mixed, None) for _ in range(2)]).combine(torch.tensor([[0.5, 0.5]]))[0]
    assert {name: value.dtype for name, value in result.items()} == {
        name: value.dtype for name, value in mixed.named_parameters()
    }


def test_large_tensors_begin_on_whole_blocks() -> None:
    odd = nn.Sequential(nn.Linear(3, 5), nn.Linear(8, 4))
    result = Stacked([starting_values(odd, None)]).combine(torch.ones(1, 1))[0]
    assert result["1.weight"].storage_offset() * 4 % 16 == 0
    assert result["1.bias"].storage_offset() * 4 % 16 == 0
