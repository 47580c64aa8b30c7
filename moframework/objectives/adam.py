"""Adam for numbers that an objective learns by itself, task by task."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["adam_direction"]

# Of Adam (Kingma and Ba, ICLR 2015, arXiv 1412.6980), which released codes of objectives leave as they are.
_BETAS, _EPS = (0.9, 0.999), 1e-8


def adam_direction(first: Tensor, second: Tensor, steps: Tensor, gradient: Tensor, known: Tensor) -> Tensor:
    """What Adam steps by, in the shape of `gradient`, for a rate of 1; 0 where not `known`. Moments and numbers of
    steps are changed in place, where they are known.

    Args:
        first, second: moments, as the gradient.
        steps: taken so far, as `known`.
        gradient: finite where it is known.
        known: of each number, or with dimensions of 1 of those that belong together.

    >>> first, second, steps = (torch.zeros(2) for _ in range(3))
    >>> found = adam_direction(first, second, steps, torch.tensor([3.0, 5.0]), torch.tensor([True, False]))
    >>> found.round(decimals=4).tolist()
    [1.0, 0.0]
    >>> steps
    tensor([1., 0.])
    """
    steps += known
    first.copy_(torch.where(known, first.lerp(gradient, 1 - _BETAS[0]), first))
    second.copy_(torch.where(known, second.lerp(gradient.square(), 1 - _BETAS[1]), second))
    taken = steps.clamp_min(1).to(gradient)
    mean, square = first / (1 - _BETAS[0] ** taken), second / (1 - _BETAS[1] ** taken)
    return known * mean / (square.sqrt() + _EPS)
