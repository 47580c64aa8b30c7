"""Activation checkpointing: a graph is forgotten after the forward pass and made again when going backward."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

__all__ = ["recomputed"]


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
