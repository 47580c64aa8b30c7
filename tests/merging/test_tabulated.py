"""Coefficients between the points of a lattice."""

from __future__ import annotations

import pytest
import torch

from moframework.merging.members import Members
from moframework.merging.tabulated import Tabulated, TabulatedSpace
from tests.merging.two_heads import TwoHeads, disturbed

HEADS = [["a.0.weight", "a.0.bias", "a.1.weight", "a.1.bias"], ["b.weight", "b.bias"]]


def space(m: int) -> TabulatedSpace:
    torch.manual_seed(0)
    made = Tabulated().build(TwoHeads, m, None)
    assert isinstance(made, TabulatedSpace)
    return made


@pytest.mark.parametrize("m", [2, 3, 4, 8, 40])
def test_coefficients_are_linear_between_points_of_the_lattice(m: int) -> None:
    made = space(m)
    drawn = torch.rand(50, m).pow(4)
    rows = torch.cat([torch.eye(m), torch.full((1, m), 1 / m), drawn / drawn.sum(dim=1, keepdim=True)])
    turned = torch.randn(m, m)
    made.table.copy_(made.points @ turned)
    for row in rows:
        torch.testing.assert_close(made.coefficients(row), row @ turned, atol=1e-4, rtol=1e-4)
    # At its own points it is the table, whatever stands there.
    made.table.normal_()
    for at in (0, len(made.points) // 2, -1):
        torch.testing.assert_close(made.coefficients(made.points[at]), made.table[at], atol=1e-3, rtol=1e-3)


def test_between_two_points_by_hand() -> None:
    made = space(2)
    row = int((made.points[:, 0] == 0.25).nonzero())
    made.table.zero_()
    made.table[row] = torch.tensor([1.0, 2.0])
    made.table[row + 1] = torch.tensor([3.0, 2.0])
    torch.testing.assert_close(made.coefficients(torch.tensor([0.2575, 0.7425])), torch.tensor([2.5, 2.0]))
    assert made.coefficients(torch.tensor([0.5, 0.5])).tolist() == [0, 0]


def test_task_vectors_have_these_coefficients() -> None:
    made, start = space(2), TwoHeads().state_dict()
    states = [disturbed(start, 1), disturbed(start, 2)]
    assert made.take(Members(states, start), HEADS) == []
    at = torch.tensor([0.3, 0.7])
    # Before it is filled the table is λ: a soup.
    soup = 0.3 * states[0]["shared.weight"] + 0.7 * states[1]["shared.weight"]
    torch.testing.assert_close(made.weights(at)["shared.weight"], soup)
    vectors = [state["shared.weight"] - start["shared.weight"] for state in states]
    with made.by_coefficients():
        found = made.weights(torch.tensor([-2.0, 1.5]))
    torch.testing.assert_close(found["shared.weight"], start["shared.weight"] - 2 * vectors[0] + 1.5 * vectors[1])
    assert torch.equal(found["b.bias"], states[1]["b.bias"])
    torch.testing.assert_close(made.weights(at)["shared.weight"], soup)
    assert not [p for p in made.parameters() if p.requires_grad]
