"""What is forgotten after the forward pass and made again when going backward: a whole graph (activation checkpointing)
or only the weights θ(λ)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from moframework.errors import SpecError
from moframework.layers.rematerialized import Unmade
from moframework.weights import WeightSpace

__all__ = ["WeightsAgain", "check_weights_again", "recomputed"]

# Smaller weights stay: making them again costs more than they take.
_LEAST_BYTES = 2**18


def recomputed(run: Callable[[], Tensor], network: nn.Module) -> Tensor:
    """`run()`, of which nothing is held until something goes backward through it: then it is called again.

    The second call draws the same random numbers (dropout), in the same autocast, and leaves no trace in the buffers of
    `network`: running statistics move once.

    Source: Chen, Xu, Zhang, Guestrin, arXiv 1604.06174, as `torch.utils.checkpoint` has it.
    """
    result: Tensor = checkpoint(
        run, use_reentrant=False, context_fn=lambda: (contextlib.nullcontext(), _untouched(network))
    )
    return result


class WeightsAgain:
    """θ(λ) of which no large weight outlives its use: each is made for the layer that needs it, and again in the
    backward pass.

    Args:
        space: one that can make a `part` of θ(λ).
        m: objectives.

    Raises:
        SpecError: the space cannot; the text says what to use.
    """

    def __init__(self, space: WeightSpace, m: int) -> None:
        check_weights_again(space, m)
        self.space = space
        with torch.enable_grad():
            theta = space.weights(torch.full((m,), 1 / m))
        # Only weights that are made can be made again: what is stored as it is needs no making.
        self._large = {
            name: value.shape
            for name, value in theta.items()
            if value.grad_fn is not None and value.numel() * value.element_size() >= _LEAST_BYTES
        }
        self._others = [name for name in theta if name not in self._large]

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        """θ(λ) of one preference (m,), for one pass of the network."""
        theta = self._part(preference, self._others)
        like = next(self.space.parameters())
        for name, shape in self._large.items():
            theta[name] = Unmade(shape, like, partial(self._one, preference, name), kept=False)
        return theta

    def _one(self, preference: Tensor, name: str) -> Tensor:
        return self._part(preference, (name,))[name]

    def _part(self, preference: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        part = self.space.part(preference, names)
        assert part is not None, "checked before"
        return part


def check_weights_again(space: WeightSpace, m: int) -> None:
    """Refuse to make weights again where the space cannot make a `part` of θ(λ), for m objectives.

    Raises:
        SpecError: which space, and what to use.
    """
    if space.part(torch.full((m,), 1 / m), ()) is None:
        raise SpecError(
            f"training.recompute: {type(space).__name__} cannot make single weights again; use true or false"
        )


@contextlib.contextmanager
def _untouched(network: nn.Module) -> Iterator[None]:
    """While inside, the network has copies of its buffers."""
    kept = [(module, dict(module._buffers)) for module in network.modules() if module._buffers]
    for module, buffers in kept:
        module._buffers.update({name: value if value is None else value.clone() for name, value in buffers.items()})
    try:
        yield
    finally:
        for module, buffers in kept:
            module._buffers.update(buffers)
