"""Losses as functions of weights, for objectives that learn from a batch which a step does not descend."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from attrs import frozen
from torch import Tensor

__all__ = ["LookAhead", "moved", "weight_gradient"]

Weights = Mapping[str, Tensor]
LossesOf = Callable[[Weights], Tensor]


@frozen(kw_only=True)
class LookAhead:
    """What an objective is given before a step, of one preference.

    Attributes:
        theta: the trained ones of θ(λ), by name, without a graph; not to be changed.
        losses: from weights such as `theta` to the losses (m,) of the batch of the step, differentiable. The network's
            buffers stay as they are, and random layers draw the same numbers each time.
        held_out: the same of the further batch.
        rate: learning rate of the step to come.
        scale: losses are multiplied by it before they are differentiated, against underflow in fp16.
    """

    theta: Weights
    losses: LossesOf
    held_out: LossesOf
    rate: float
    scale: float = 1.0

    def gradient(self, losses_of: LossesOf, at: Weights, weights: Tensor) -> dict[str, Tensor]:
        """The gradient at weights `at` of Σ_t w_t L_t, by name.

        Args:
            losses_of: `losses` or `held_out`.
            weights: w (m,).
        """
        return weight_gradient(losses_of, at, weights, self.scale)


def weight_gradient(losses_of: LossesOf, at: Weights, weights: Tensor, scale: float = 1.0) -> dict[str, Tensor]:
    """The gradient of Σ_t w_t L_t at weights `at`, by name; 0 for what no task reaches.

    >>> theta = {"a": torch.tensor([2.0])}
    >>> weight_gradient(lambda at: torch.stack([at["a"].sum() ** 2, at["a"].sum()]), theta, torch.tensor([1.0, 3.0]))
    {'a': tensor([7.])}
    """
    with torch.enable_grad():
        leaves = {name: value.detach().requires_grad_() for name, value in at.items()}
        total = (weights.detach() * losses_of(leaves)).sum() * scale
        found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return {name: gradient / scale for name, gradient in zip(leaves, found, strict=True)}


def moved(theta: Weights, direction: Weights, size: float | Tensor) -> dict[str, Tensor]:
    """θ + size · direction, by name.

    >>> moved({"a": torch.tensor([1.0])}, {"a": torch.tensor([2.0])}, -0.5)
    {'a': tensor([0.])}
    """
    return {name: value + size * direction[name] for name, value in theta.items()}
