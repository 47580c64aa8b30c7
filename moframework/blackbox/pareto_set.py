"""Pareto set learning: a model x(λ) that descends scalarized predictions of the objectives."""

from __future__ import annotations

from collections.abc import Callable

import torch
from attrs import frozen
from torch import Generator, Tensor

from moframework.model import ParetoModel
from moframework.objectives import Scalarization
from moframework.preferences import Schedule
from moframework.problem import BoxFunction

__all__ = ["Learning", "learn", "points_of"]

Predicted = Callable[[Tensor], Tensor]


@frozen(kw_only=True)
class Learning:
    """How x(λ) is learned.

    Attributes:
        steps: of Adam.
        lr: its learning rate.
        preferences: the schedule, whose count is that of preferences a step.
        objective: of predictions above the ideal point, all of one scale.
    """

    steps: int
    lr: float
    preferences: Schedule
    objective: Scalarization


def learn(model: ParetoModel, function: BoxFunction, predicted: Predicted, how: Learning, seed: int) -> None:
    """Train a model's weight space in place so that x(λ) minimizes `objective(predicted(x), λ)` at every λ.

    As the released code of PSL-MOBO does, the gradient with respect to each x has its length set to 1, so that no
    preference outweighs another for the scale of its scalarization.

    Args:
        predicted: points (r, n) of the unit cube to what is descended, (r, m) in float64, differentiable.
        seed: of the preferences that are drawn.
    """
    m, generator = function.objectives, Generator().manual_seed(seed)
    count = how.preferences.count(m)
    optimizer = torch.optim.Adam(model.space.parameter_groups(how.lr), fused=True)
    model.train()
    for step in range(how.steps):
        preferences = how.preferences.draw((step + 1) / how.steps, count, m, generator)
        x = points_of(model, function, preferences)
        direction = descent(x, preferences, predicted, how.objective)
        optimizer.zero_grad()
        x.backward(direction / direction.norm(dim=1, keepdim=True).clamp_min(1e-12))  # type: ignore[no-untyped-call]
        penalty = model.space.penalty()
        if penalty is not None:
            penalty.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    model.eval()


def points_of(model: ParetoModel, function: BoxFunction, preferences: Tensor) -> Tensor:
    """x(λ) in the unit cube, (r, n) in float64, for preferences (r, m)."""
    (key,) = model.recipe.outputs
    one = torch.ones(1, 1)
    x = torch.cat([model.call(theta, one)[key] for theta in model.space.weights_of(preferences)]).double()
    lower, upper = (torch.tensor(bound, dtype=torch.float64) for bound in (function.lower, function.upper))
    return (x - lower) / (upper - lower)


def descent(x: Tensor, preferences: Tensor, predicted: Predicted, objective: Scalarization) -> Tensor:
    """The gradient of each preference's scalarization by its own point, (r, n), detached."""
    point = x.detach().requires_grad_()
    value = objective(predicted(point), preferences.double())
    (gradient,) = torch.autograd.grad(value, point)
    return gradient * len(x)  # a scalarization is the mean over its r rows
