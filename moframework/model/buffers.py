"""Buffers of a network that depend on λ, or that a forward pass changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["buffers_kept", "buffers_of", "changed_buffers", "modes_kept"]


@contextmanager
def buffers_of(network: nn.Module, values: Mapping[str, Tensor]) -> Iterator[None]:
    """While inside, a network has these tensors in the place of its buffers.

    What it changes in them stays changed; of a tensor that a module puts in their place the numbers are taken over.

    Args:
        values: by the name of the buffer.

    Raises:
        KeyError: the network has no such buffer.
    """
    places = [(value, *_place(network, name)) for name, value in values.items()]
    before = [registry[key] for _, registry, key in places]
    try:
        for value, registry, key in places:
            registry[key] = value
        yield
    finally:
        for (value, registry, key), own in zip(places, before, strict=True):
            if registry[key] is not value and registry[key] is not None:
                value.detach().copy_(registry[key])
            registry[key] = own


@torch.no_grad()
def changed_buffers(buffers: Mapping[str, Tensor], run: Callable[[Mapping[str, Tensor]], object]) -> list[str]:
    """Names of the buffers that a forward pass of a network in training mode changes; they stay as they are, and so do
    torch's random generators.

    Args:
        buffers: all that the network has, by name.
        run: a forward pass with the buffers that it is given, on more than one sample.
    """
    kept = {name: value.clone() for name, value in buffers.items()}
    devices = {value.device for value in buffers.values() if value.device.type == "cuda"}
    with torch.random.fork_rng(devices=list(devices)):
        run(kept)
    return [name for name, value in buffers.items() if not _same(value, kept[name])]


@contextmanager
def buffers_kept(network: nn.Module) -> Iterator[None]:
    """Afterwards all buffers of a network are as they were before."""
    kept = [(buffer, buffer.clone()) for buffer in network.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in kept:
                buffer.copy_(before)


@contextmanager
def modes_kept(network: nn.Module) -> Iterator[None]:
    """Afterwards all modules of a network are in training, or in use, as they were before."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _same(one: Tensor, other: Tensor) -> bool:
    equal = one == other
    return bool((equal | ((one != one) & (other != other))).all())  # NaN in the same places is no change


def _place(network: nn.Module, name: str) -> tuple[dict[str, Any], str]:
    """The registry that holds a buffer, and its key there."""
    prefix, _, key = name.rpartition(".")
    registry = network.get_submodule(prefix)._buffers
    if key not in registry:
        raise KeyError(f"the network has no parameter or buffer '{name}'")
    return registry, key
