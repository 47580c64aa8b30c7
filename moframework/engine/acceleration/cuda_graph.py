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

from collections.abc import Hashable, Mapping
from typing import Any, ClassVar

import torch
from attrs import frozen
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from moframework.engine.acceleration.base import Acceleration
from moframework.engine.acceleration.compiled import uncompiled
from moframework.engine.settings import Training
from moframework.engine.step import Step
from moframework.errors import SpecError
from moframework.inputs.trees import Tree, mapped, signature, tensor_leaves

__all__ = ["CudaGraph", "HostWatch"]

Targets = dict[str, Tensor]

# Steps before recording: kernels are chosen and loaded at first use, and the last one is watched.
_FIRST = 3
# Recordings of one training: parameters that freeze and images that grow need another one, but none must be made every
# other step.
_MOST = 8


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

    state: Hashable
    shape: Hashable
    graph: torch.cuda.CUDAGraph
    given: list[Tensor]
    """The memory of what a step is given, in the order of `_tensors`."""
    losses: Tensor
    gradients: list[tuple[Tensor, Tensor]]
    """Parameters, and the memory their gradients are written to."""


class CudaGraph(Acceleration):
    """Runs steps from a recording, where there is one.

    Steps on batches of the first shape to come up a few times are recorded, and again when other parameters are
    trained, or a few batches of another shape come in a row (as when images grow); steps on single batches of another
    shape (the rest of an epoch) run as they always do.
    """

    does: ClassVar[str] = "steps are recorded as a CUDA graph and replayed"

    @classmethod
    def declines(cls, step: Step, training: Training) -> str | None:
        reason = None
        if step.place.device.type != "cuda":
            reason = f"the device is {step.place.device}"
        elif step.partition.shared:
            reason = "several processes share a step"
        elif training.recompute or training.accumulate > 1:
            reason = "activations are made again"
        elif len(step.objective_states):
            reason = "the objective has a state of its own"
        elif not training.cuda_graph:
            reason = "training.cuda_graph is false"
        if reason is not None and training.cuda_graph is True:
            raise SpecError(f"training.cuda_graph: steps cannot be recorded, for {reason}; use auto or false")
        return reason

    def __init__(self, step: Step, training: Training) -> None:
        self.step = step
        self.parameters: list[Tensor] = list(step.model.space.parameters())
        self.demanded = training.cuda_graph is True
        self._active = True
        self._taken: dict[Hashable, int] = {}
        self._shape: Hashable = None
        self._in_a_row = 0
        self._recording: _Recording | None = None
        self._left = _MOST
        step.execute = self

    def __call__(self, x: Tree, targets: Targets, preferences: Tensor, scale: Tensor | None = None) -> Tensor:
        """As `Step.run`; gradients must have been forgotten before, and are complete after it.

        Raises:
            SpecError: a recording is demanded, and the step has a part that the host computes.
        """
        given = x, targets, preferences, scale
        if not self._active:
            return self.step.run(*given)
        state, shape = self._state(preferences), _shape(x, targets)
        self._in_a_row = self._in_a_row + 1 if shape == self._shape else 1
        self._shape = shape
        if self._recording is not None and self._recording.state == state:
            if self._recording.shape == shape:
                return self._replayed(self._recording, *given)
            if self._in_a_row < _FIRST:
                return self.step.run(*given)
        taken = self._taken[state, shape] = self._taken.get((state, shape), 0) + 1
        if taken < _FIRST:
            return self.step.run(*given)
        if taken == _FIRST:
            return self._watched(*given)
        if self._left == 0:
            self._active, self._recording = False, None
            self.step.note("steps are no longer recorded: they differ too often")
            return self.step.run(*given)
        self._left -= 1
        self._recording = None  # its memory is free for the next one
        self._recording = self._recorded((state, shape), *given)
        return self._replayed(self._recording, *given)

    def _state(self, preferences: Tensor) -> Hashable:
        """What a recording is good for, besides the shape of batches: the parameters that are trained, and in a finite
        space the networks."""
        chosen = None if self.step.model.space.anchors() is None else tuple(preferences.flatten().tolist())
        return tuple(preferences.shape), chosen, tuple(parameter.requires_grad for parameter in self.parameters)

    def _watched(self, x: Tree, targets: Targets, preferences: Tensor, scale: Tensor | None) -> Tensor:
        on_device = preferences.to(self.step.place.device, non_blocking=True)
        # What is compiled hides its operations.
        with uncompiled(self.step), HostWatch(preferences) as watch:
            losses = self.step.run(x, targets, preferences, scale, on_device)
        if watch.found is not None:
            if self.demanded:
                raise SpecError(
                    f"training.cuda_graph: the host computes a part of each step ({watch.found}), which a recording "
                    "would keep as it is; use auto or false"
                )
            self._active = False
            self.step.note(f"steps are not recorded: the host computes a part of them ({watch.found})")
        return losses

    def _recorded(
        self, key: tuple[Hashable, Hashable], x: Tree, targets: Targets, preferences: Tensor, scale: Tensor | None
    ) -> _Recording:
        on_device = preferences.to(self.step.place.device, copy=True)
        batch = mapped(lambda t: torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device=t.device), x)
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
        self.step.note("steps are recorded as a CUDA graph and replayed")
        return _Recording(
            state=key[0],
            shape=key[1],
            graph=graph,
            given=_tensors(batch, wanted, on_device, factor),
            losses=losses,
            gradients=[(p, p.grad) for p in self.parameters if p.grad is not None],
        )

    def _replayed(self, recording: _Recording, *given: Any) -> Tensor:
        for memory, value in zip(recording.given, _tensors(*given), strict=True):
            memory.copy_(value, non_blocking=True)
        recording.graph.replay()
        for parameter, gradient in recording.gradients:
            parameter.grad = gradient
        return recording.losses.clone()


def _tensors(x: Tree, targets: Targets, preferences: Tensor, scale: Tensor | None) -> list[Tensor]:
    return [
        *tensor_leaves(x),
        *(targets[key] for key in sorted(targets)),
        preferences,
        *(() if scale is None else (scale,)),
    ]


def _shape(x: Tree, targets: Targets) -> Hashable:
    shapes = tuple((name, tuple(target.shape), target.dtype) for name, target in targets.items())
    return signature(x), shapes
