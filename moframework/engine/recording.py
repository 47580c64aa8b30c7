"""A training step recorded once as a CUDA graph, and replayed.

A step of a small network is some hundred kernels of a few microseconds each; launching them one by one takes the host
longer than the device takes to run them. Replaying a recording launches all of them at once. Recorded is what
`Step.run` does (θ(λ), forward and backward passes, objective), with batch and preferences in memory that each step
fills anew; the optimizer's step stays outside, so that learning rates, clipping and loss scaling are as without.

A step can be recorded where it runs on the device alone: whatever the host computes along the way would stay what it
was when it was recorded. Before recording, one step is therefore watched for tensors of the host. Numbers that Python
computes are not seen by that; the contracts of losses, spaces and objectives rule them out.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import torch
from attrs import frozen
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from moframework.engine.step import Step
from moframework.errors import SpecError

__all__ = ["HostWatch", "Recorder"]

Targets = dict[str, Tensor]

# Steps before recording: kernels are chosen and loaded at first use, and the last one is watched.
_FIRST = 3


class HostWatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes operations on tensors of the host while inside.

    Args:
        known: tensors of the host that may be used, and views of them.

    >>> with HostWatch() as watch:
    ...     _ = torch.zeros(2, device="meta") + 1
    >>> watch.found is None
    True
    >>> with watch:
    ...     _ = torch.ones(2).sum()
    >>> watch.found
    'aten.ones.default'
    """

    def __init__(self, *known: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known = {tensor.untyped_storage().data_ptr() for tensor in known if tensor.device.type == "cpu"}
        self.found: str | None = None
        """The first one, or None."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if self.found is None and any(self._is_foreign(leaf) for leaf in tree_leaves((args, kwargs, result))):
            self.found = str(func)
        return result

    def _is_foreign(self, leaf: Any) -> bool:
        return (
            isinstance(leaf, Tensor)
            and leaf.device.type == "cpu"
            and leaf.untyped_storage().data_ptr() not in self._known
        )


@frozen(kw_only=True)
class _Recording:
    """A graph, and the memory it reads and writes."""

    graph: torch.cuda.CUDAGraph
    x: Tensor
    targets: Targets
    preferences: Tensor
    scale: Tensor | None
    losses: Tensor
    gradients: list[tuple[Tensor, Tensor]]
    """Parameters, and the memory their gradients are written to."""


class Recorder:
    """Runs the steps of one training, from a recording where there is one.

    Batches of the usual shape are recorded after a few steps, and again whenever other parameters are trained; batches
    of another shape run as they always do.

    Args:
        step: what is recorded.
        parameters: what the step leaves gradients in.
        wanted: record (True), or only where a step runs on the device alone ("auto").
        told: called with a sentence when it is known whether steps are replayed.
    """

    def __init__(self, step: Step, parameters: list[Tensor], wanted: bool | str, told: Callable[[str], None]) -> None:
        self.step = step
        self.parameters = parameters
        self.wanted, self.told = wanted, told
        self._active = True
        self._taken: dict[Hashable, int] = {}
        self._recording: tuple[Hashable, _Recording] | None = None

    def run(self, x: Tensor, targets: Targets, preferences: Tensor, scale: Tensor | None = None) -> Tensor:
        """As `Step.run`; gradients must have been forgotten before, and are complete after it.

        Raises:
            SpecError: a recording is asked for, and the step has a part that the host computes.
        """
        if not self._active:
            return self.step.run(x, targets, preferences, scale)
        key = self._key(x, targets, preferences)
        if self._recording is not None and self._recording[0] == key:
            return self._replayed(self._recording[1], x, targets, preferences, scale)
        taken = self._taken[key] = self._taken.get(key, 0) + 1
        if taken < _FIRST or (self._recording is not None and self._taken[self._recording[0]] >= taken):
            return self.step.run(x, targets, preferences, scale)
        if taken == _FIRST:
            return self._watched(x, targets, preferences, scale)
        self._recording = (key, self._recorded(x, targets, preferences, scale))
        return self._replayed(self._recording[1], x, targets, preferences, scale)

    def _key(self, x: Tensor, targets: Targets, preferences: Tensor) -> Hashable:
        """What a recording is good for. Which networks of a finite space a step trains is part of it."""
        chosen = None if self.step.model.space.anchors() is None else tuple(preferences.flatten().tolist())
        shapes = tuple((name, tuple(target.shape), target.dtype) for name, target in targets.items())
        trained = tuple(parameter.requires_grad for parameter in self.parameters)
        return tuple(x.shape), x.stride(), x.dtype, shapes, tuple(preferences.shape), chosen, trained

    def _watched(self, x: Tensor, targets: Targets, preferences: Tensor, scale: Tensor | None) -> Tensor:
        on_device = preferences.to(self.step.place.device, non_blocking=True)
        # What is compiled hides its operations.
        with self.step.uncompiled(), HostWatch(preferences) as watch:
            losses = self.step.run(x, targets, preferences, scale, on_device)
        if watch.found is not None:
            if self.wanted is True:
                raise SpecError(
                    f"training.cuda_graph: the host computes a part of each step ({watch.found}), which a recording "
                    "would keep as it is; use auto or false"
                )
            self._active = False
            self.told(f"steps are not recorded: the host computes a part of them ({watch.found})")
        return losses

    def _recorded(self, x: Tensor, targets: Targets, preferences: Tensor, scale: Tensor | None) -> _Recording:
        on_device = preferences.to(self.step.place.device, copy=True)
        batch = torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=x.device)
        wanted = {name: torch.empty_like(target) for name, target in targets.items()}
        factor = None if scale is None else scale.clone()
        for parameter in self.parameters:
            parameter.grad = None
        before = [dict(state) for state in self.step.state]
        graph = torch.cuda.CUDAGraph()
        # Threads that load data may allocate pinned memory meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            losses = self.step.run(batch, wanted, preferences, factor, on_device)
            for old, new in zip(before, self.step.state, strict=True):
                for name, value in new.items():
                    old[name].copy_(value)
        self.step.state = before
        self.told("steps are recorded as a CUDA graph and replayed")
        return _Recording(
            graph=graph,
            x=batch,
            targets=wanted,
            preferences=on_device,
            scale=factor,
            losses=losses,
            gradients=[(p, p.grad) for p in self.parameters if p.grad is not None],
        )

    def _replayed(
        self, recording: _Recording, x: Tensor, targets: Targets, preferences: Tensor, scale: Tensor | None
    ) -> Tensor:
        recording.x.copy_(x)
        recording.preferences.copy_(preferences, non_blocking=True)
        for name, target in targets.items():
            recording.targets[name].copy_(target)
        if scale is not None and recording.scale is not None:
            recording.scale.copy_(scale)
        recording.graph.replay()
        for parameter, gradient in recording.gradients:
            parameter.grad = gradient
        return recording.losses.clone()
