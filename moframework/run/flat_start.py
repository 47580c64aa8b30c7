"""Whether a training starts where losses are flat: what its first gradient can move."""

from __future__ import annotations

from typing import Any

import torch

from moframework.engine.loop import Hook, Loop

__all__ = ["FlatStart"]

# A weight in float32 does not change by less than this share of its size.
_ROUNDING = 2.0**-24


class FlatStart(Hook):
    """Looks at the gradient of a training's very first step, once, and notes where it is too small to move anything.

    Optimizers after Adam divide by the size of gradients plus a number `eps`: a gradient smaller than that moves
    weights by less than the learning rate, in proportion. Others move them by the learning rate times the gradient,
    which is nothing where it is below what float32 resolves.
    """

    every_step = True

    def after_step(self, loop: Loop) -> None:
        """See `Hook.after_step`: reads from the device in step 1 alone."""
        if loop.done != 1 or loop.sharded is not None:
            return
        largest, words = 0.0, None
        for group in loop.optimizer.param_groups:
            gradients = [p.grad for p in group["params"] if p.grad is not None]
            if not gradients:
                continue
            largest = max(largest, _largest(gradients))
            words = words or _too_small(group, _largest(gradients), _largest(group["params"]))
            if words is None:
                return  # something moves
        if words is not None:
            loop.observer.noted(_sentence(largest, words))


def _largest(tensors: list[torch.Tensor]) -> float:
    """The largest absolute value of an entry."""
    return max((float(tensor.detach().abs().max()) for tensor in tensors if tensor.numel()), default=0.0)


def _too_small(group: dict[str, Any], gradient: float, weight: float) -> str | None:
    """Why a largest gradient moves no weight of a group; None where it does."""
    if gradient == 0:
        return "no step changes a weight"
    eps = group.get("eps")
    if eps is not None and gradient < eps:
        return (
            f"less than the eps of {eps:g} that the optimizer adds to the size of gradients, so that steps are about "
            f"{gradient / eps:.0e} of the learning rate (a smaller `training.optimizer.eps` helps down to about 1e-20)"
        )
    rate = float(group.get("initial_lr", group["lr"]))
    if eps is None and 0 < rate * gradient < _ROUNDING * weight:
        return f"at a learning rate of {rate:g} below what float32 resolves, so that no step changes a weight"
    return None


def _sentence(largest: float, words: str) -> str:
    return (
        f"Training starts where losses are flat: the largest entry of its first gradient is {largest:.1e}, {words}. "
        "Where losses do not fall, start elsewhere: `solver.initial`, another seed, for analytic problems a smaller "
        "`problem.spread` or box."
    )
