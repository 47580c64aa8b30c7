"""Activation checkpoints inside a network: what is run again in the backward pass has the weights that it had before.

A network of a `ParetoModel` has its weights θ(λ) while it runs, and none otherwise. A checkpoint of its own
(`torch.utils.checkpoint`, which timm, transformers and torchvision use) runs a part of it once more when everything
goes backward, by when the weights are gone: layers would fail, and normalizations, which do without weights, would
silently compute something else. So while a network runs, each of its checkpoints is told θ(λ), and puts it in place
once more.

The reentrant form sends gradients to the tensors that it is given, and to leaves. θ(λ) is neither, but computed, so
it takes the other form, which is the same to the network.

Buffers are as they were too, and what a part does to them again is forgotten: running statistics move once a step, with
a checkpoint as without.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils import checkpoint as of_torch

from moframework.model.beside import Beside

__all__ = ["PASS", "follow_checkpoints", "without_checkpoints"]

Slot = tuple[dict[str, Any], str, Any]
"""A registry of a module, a place there, and a name or a value."""


class _Network(Protocol):
    """What is needed of a `FunctionalNetwork`."""

    skeleton: nn.Module
    slots: list[tuple[dict[str, Any], str, str]]
    beside: Beside

    def fill(self, weights: Mapping[str, Tensor]) -> None: ...


Pass = tuple[_Network, Mapping[str, Tensor], dict[Any, Any]]

PASS: ContextVar[Pass | None] = ContextVar("PASS", default=None)
"""The forward pass of a network that is going on in this thread: the network, its weights, and what the checkpoints in
it share (empty at first)."""

_PLAIN: ContextVar[bool] = ContextVar("_PLAIN", default=False)

# What torch asks for the function to run again; its first argument. The first of these that a version has.
_GENERATORS = ("_checkpoint_without_reentrant_generator_impl", "_checkpoint_without_reentrant_generator")


@contextlib.contextmanager
def without_checkpoints() -> Iterator[None]:
    """While inside, checkpoints do nothing: their part of the network is run, and its activations are kept. For ways of
    running a network that cannot put its weights in place once more."""
    token = _PLAIN.set(True)
    try:
        yield
    finally:
        _PLAIN.reset(token)


@functools.cache
def follow_checkpoints() -> None:
    """From now on let torch's checkpoints know θ(λ) where they are part of a network in `PASS`. Others stay as they
    are. Warns where the installed torch is made in another way."""
    name = next((name for name in _GENERATORS if hasattr(of_torch, name)), None)
    if name is None:
        warnings.warn(
            f"activation checkpoints inside networks are not followed with torch {torch.__version__}, which makes them "
            "in an unknown way: switch them off in the network",
            stacklevel=3,
        )
        return
    generator = getattr(of_torch, name)
    if hasattr(generator, "__wrapped__"):
        return
    setattr(of_torch, name, _following(generator))
    of_torch.CheckpointFunction.apply = classmethod(_reentrant)


def _following(generator: Callable[..., Iterator[None]]) -> Callable[..., Iterator[None]]:
    @functools.wraps(generator)
    def followed(function: Callable[..., Any], *args: Any, **options: Any) -> Iterator[None]:
        running = PASS.get()
        if _PLAIN.get() or (running is not None and not _differentiates()):
            return _nothing()
        return generator(function if running is None else _again(function, running), *args, **options)

    return followed


def _nothing() -> Iterator[None]:
    """Between its beginning and its end torch runs the function."""
    yield


def _reentrant(cls: Any, function: Callable[..., Any], preserve_rng_state: bool, *args: Any) -> Any:
    """In the place of `CheckpointFunction.apply`."""
    if PASS.get() is None and not _PLAIN.get():
        return super(of_torch.CheckpointFunction, cls).apply(function, preserve_rng_state, *args)
    return of_torch.checkpoint(function, *args, use_reentrant=False, preserve_rng_state=preserve_rng_state)


def _differentiates() -> bool:
    return torch.is_grad_enabled() and not torch._C._are_functorch_transforms_active()


def _again(function: Callable[..., Any], running: Pass) -> Callable[..., Any]:
    """The function with the weights and the buffers in place that are there now."""
    buffers = _buffers(running)

    @functools.wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        with _in_place(running, buffers):
            return function(*args, **options)

    return run


def _buffers(running: Pass) -> list[Slot]:
    """The buffers of the network as they are now: copies, which those checkpoints share between which nothing changes
    them. What depends on λ and has a gradient is no copy."""
    network, _, shared = running
    if "registries" not in shared:
        shared["registries"] = [module._buffers for module in network.skeleton.modules() if module._buffers]
        shared["copies"] = {}
    return [
        (registry, key, _copied(value, shared["copies"], (id(registry), key)))
        for registry in shared["registries"]
        for key, value in registry.items()
        if value is not None
    ]


def _copied(value: Tensor, copies: dict[Any, tuple[Tensor, int, Tensor]], place: tuple[int, str]) -> Tensor:
    if value.requires_grad or value.is_inference():
        return value
    known = copies.get(place)
    if known is None or known[0] is not value or known[1] != value._version:
        known = copies[place] = value, value._version, value.clone(memory_format=torch.preserve_format)
    return known[2]


@contextlib.contextmanager
def _in_place(running: Pass, buffers: Sequence[Slot]) -> Iterator[None]:
    """While inside, the network has the weights of a pass, and copies of buffers."""
    network, weights, _ = running
    places = [*network.slots, *buffers]
    before = [registry[key] for registry, key, _ in places]
    held = network.beside.held()
    token = PASS.set(running)
    try:
        network.fill(weights)
        for registry, key, value in buffers:
            registry[key] = value if value.requires_grad or value.is_inference() else value.clone()
        yield
    finally:
        PASS.reset(token)
        for (registry, key, _), value in zip(places, before, strict=True):
            registry[key] = value
        network.beside.restore(held)
