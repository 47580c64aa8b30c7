"""MOO-SVGD: its kernel by autograd, its direction from the definition, its effect on a front."""

from __future__ import annotations

import math

import torch

from moframework.objectives.moo_svgd import MOOSVGD, kernel


def test_the_kernel_by_hand() -> None:
    similarity, slope = kernel(torch.tensor([[0.0, 0.0], [1.0, 2.0]]), bandwidth=2.5)
    value = math.exp(-2.0)
    torch.testing.assert_close(similarity, torch.tensor([[1.0, value], [value, 1.0]]))
    torch.testing.assert_close(slope, -2 / 2.5 * value * torch.tensor([[-1.0, -2.0], [1.0, 2.0]]))


def test_the_slope_is_the_derivative_with_the_other_rows_held_fixed() -> None:
    losses = torch.rand(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    similarity, slope = kernel(losses)
    h = float(torch.cdist(losses, losses).square().median()) / math.log(5)
    torch.testing.assert_close(similarity, (-torch.cdist(losses, losses).square() / h).exp())
    moving = losses.clone().requires_grad_()
    (-(moving.unsqueeze(1) - losses).square().sum(dim=2) / h).exp().sum().backward()
    torch.testing.assert_close(slope, moving.grad)


def test_equal_rows_share_their_descent_and_do_not_push() -> None:
    losses = torch.ones(3, 2)
    similarity, slope = kernel(losses)
    torch.testing.assert_close(similarity, torch.ones(3, 3))
    torch.testing.assert_close(slope, torch.zeros(3, 2))


def test_the_direction_follows_the_definition() -> None:
    generator = torch.Generator().manual_seed(1)
    jacobians = torch.randn(3, 2, 4, generator=generator, dtype=torch.float64)
    losses = torch.rand(3, 2, generator=generator, dtype=torch.float64)
    found = MOOSVGD(bandwidth=0.5, repulsion=2.0).aggregate(jacobians, losses, torch.full((3, 2), 0.5))
    expected = torch.zeros(3, 4, dtype=torch.float64)
    for i in range(3):
        for j in range(3):
            one, other = jacobians[j]
            share = float(((other - one) @ other / (one - other).square().sum()).clamp(0, 1))
            k = math.exp(-float((losses[i] - losses[j]).square().sum()) / 0.5)
            expected[i] += k * (share * one + (1 - share) * other)
            expected[i] += 2.0 * (-2 / 0.5) * k * (losses[i] - losses[j]) @ jacobians[i]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def test_rows_spread_over_a_front() -> None:
    """L = ((x − 1)², (x + 1)²): the front is x in [−1, 1]; rows that start together end apart on it."""
    x = torch.tensor([0.10, 0.11, 0.12], requires_grad=True)
    objective = MOOSVGD(bandwidth=1.0)
    for _ in range(300):
        losses = torch.stack([(x - 1).square(), (x + 1).square()], dim=1)
        jacobians = torch.stack([2 * (x - 1), 2 * (x + 1)], dim=1).unsqueeze(2)
        direction = objective.aggregate(jacobians.detach(), losses.detach(), torch.full((3, 2), 0.5))
        with torch.no_grad():
            x -= 0.01 * direction.squeeze(1)
    assert float(x.detach().diff().min()) > 0.3


def test_one_row_has_none_to_keep_apart_from() -> None:
    assert MOOSVGD().faults(2, 1) == [
        "networks keep apart from each other: there must be at least 2 preferences a step"
    ]
