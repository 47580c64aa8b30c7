"""What is forgotten after the forward pass and made again when going backward: a whole graph (activation checkpointing)
or only the weights θ(λ)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from moframework.errors import SpecError
from moframework.weights import WeightSpace

__all__ = ["check_weights_again", "recomputed", "remade", "weights_again"]

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


@contextlib.contextmanager
def weights_again(space: WeightSpace, preference: Tensor, theta: Mapping[str, Tensor]) -> Iterator[None]:
    """While inside, operations that need a weight to go backward do not keep it, but make it again there, from the
    parameters of the space.

    Args:
        space: one that can make a `part` of θ(λ).
        preference: λ (m,).
        theta: θ(λ), as the space made it; nothing else should hold on to it for longer than the forward pass.
    """
    large = {
        name: value
        for name, value in theta.items()
        if value.grad_fn is not None and value.numel() * value.element_size() >= _LEAST_BYTES
    }

    def make(name: str) -> Tensor:
        part = space.part(preference, (name,))
        assert part is not None
        return part[name]

    with remade(large, make):
        yield


def check_weights_again(space: WeightSpace, m: int) -> None:
    """Refuse to make weights again where the space cannot make a `part` of θ(λ), for m objectives.

    Raises:
        SpecError: which space, and what to use.
    """
    if space.part(torch.full((m,), 1 / m), ()) is None:
        raise SpecError(
            f"training.recompute: {type(space).__name__} cannot make single weights again; use true or false"
        )


def remade(weights: Mapping[str, Tensor], make: Callable[[str], Tensor]) -> saved_tensors_hooks:
    """Hooks under which autograd keeps none of some weights, nor views of them, but makes them again when it goes
    backward.

    Args:
        weights: by name; alive as long as the hooks are in force.
        make: the weight of a name once more, with the same numbers in the same memory order; called without gradients.
    """
    names = {value.untyped_storage().data_ptr(): name for name, value in weights.items()}

    def pack(tensor: Tensor) -> Any:
        name = names.get(tensor.untyped_storage().data_ptr())
        return tensor if name is None else (name, tensor.size(), tensor.stride(), tensor.storage_offset())

    def unpack(kept: Any) -> Tensor:
        if isinstance(kept, Tensor):
            return kept
        name, size, stride, offset = kept
        with torch.no_grad():
            return make(name).as_strided(size, stride, offset)

    return saved_tensors_hooks(pack, unpack)


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
