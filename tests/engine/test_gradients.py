"""Gradients of several tasks over one network: what is shared, and the way back."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from moframework.engine.gradients import TaskGradients


class Heads(torch.nn.Module):
    """y_a = 3·2·x and y_b = 5·2·x: a trunk of 2, heads of 3 and 5."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = torch.nn.Linear(1, 1, bias=False)
        self.a = torch.nn.Linear(1, 1, bias=False)
        self.b = torch.nn.Linear(1, 1, bias=False)
        for parameter, value in zip(self.parameters(), (2.0, 3.0, 5.0), strict=True):
            torch.nn.init.constant_(parameter, value)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.trunk(x)
        return {"a": self.a(features), "b": self.b(features)}


def gradients(factor: float = 1.0, keys: tuple[str, ...] = ("a", "b")) -> tuple[TaskGradients, list[Tensor]]:
    net = Heads()
    outputs = net(torch.ones(1, 1))
    weights = list(net.parameters())
    made = TaskGradients(dict(net.named_parameters()), torch.device("cpu"), torch.tensor(factor))
    for key in keys:
        value = outputs[key].sum() * factor
        made.by_task.append(torch.autograd.grad(value, weights, retain_graph=True, allow_unused=True))
    return made, weights


def test_only_parameters_that_all_tasks_reach_count() -> None:
    for factor in (1.0, 64.0):
        made, _ = gradients(factor)
        torch.testing.assert_close(made.norms(), torch.tensor([3.0, 5.0]))  # d/dtrunk only, heads left out
        torch.testing.assert_close(made.jacobian(), torch.tensor([[3.0], [5.0]]))
        torch.testing.assert_close(made.gramian(), torch.tensor([[9.0, 15.0], [15.0, 25.0]]))


def test_without_shared_parameters_all_count() -> None:
    weights = [torch.ones(1, requires_grad=True), torch.ones(2, requires_grad=True)]
    made = TaskGradients(dict(zip("ab", weights, strict=True)), torch.device("cpu"))
    made.by_task = [(torch.tensor([2.0]), None), (None, torch.tensor([3.0, 4.0]))]
    torch.testing.assert_close(made.norms(), torch.tensor([2.0, 5.0]))
    torch.testing.assert_close(made.jacobian(), torch.tensor([[2.0, 0.0, 0.0], [0.0, 3.0, 4.0]]))


def test_weights_send_the_weighted_sum_back_through_everything() -> None:
    made, (trunk, a, b) = gradients(factor=4.0)
    made.backward(torch.tensor([0.5, 2.0]))
    assert [float(p.grad) for p in (trunk, a, b)] == [4 * (0.5 * 3 + 2 * 5), 4 * 0.5 * 2, 4 * 2 * 2]


def test_a_direction_goes_through_what_is_shared_and_weights_through_the_rest() -> None:
    made, (trunk, a, b) = gradients(factor=4.0)
    made.backward_mixed(torch.tensor([7.0]), torch.tensor([0.5, 2.0]))
    assert [float(p.grad) for p in (trunk, a, b)] == [4 * 7, 4 * 0.5 * 2, 4 * 2 * 2]


def test_halves_give_products_of_one_with_the_other_and_the_mean_gradient() -> None:
    """Both tasks read y_a = head · trunk · x; the second is twice the first and has no label in the first half."""
    x, targets = torch.tensor([[1.0], [3.0]]), {"known": torch.tensor([0.0, 2.0])}
    for factor in (1.0, 64.0):
        net = Heads()
        made = TaskGradients(dict(net.named_parameters()), torch.device("cpu"), torch.tensor(factor))

        def losses_of(
            x: Tensor, targets: dict[str, Tensor], net: Heads = net, made: TaskGradients = made
        ) -> list[Tensor]:
            found = torch.func.functional_call(net, made.leaves, x)["a"].sum()
            return [found, found * targets["known"].sum()]

        losses = made.take_halves(losses_of, x, targets)
        # Of trunk and head, 3 x and 2 x: (3, 2) on the first half, (9, 6) on the second.
        torch.testing.assert_close(losses, torch.tensor([(6.0 + 18.0) / 2, 36.0]))
        torch.testing.assert_close(made.gramian(), torch.tensor([[39.0, 78.0], [0.0, 0.0]]))
        torch.testing.assert_close(made.jacobian(), torch.tensor([[6.0, 4.0], [18.0, 12.0]]))
        torch.testing.assert_close(made.norms(), torch.tensor([52.0, 468.0]).sqrt())
        alone = TaskGradients(dict(net.named_parameters()), torch.device("cpu"), torch.tensor(factor))
        alone.take_halves(partial(losses_of, made=alone), x[1:], {"known": targets["known"][1:]})
        torch.testing.assert_close(alone.gramian(), alone.jacobian() @ alone.jacobian().T)
