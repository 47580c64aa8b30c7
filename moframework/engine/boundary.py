"""Where the heads of a network begin: the tensor that all of them read, and the layers that read it.

Which parameters are a task's head is read from the graph of one pass: those that its loss reaches and no other task's.
The first module whose parameters are all of one head is where the head begins, and what it is given are the features.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn

from moframework.engine.step import Step, Targets
from moframework.errors import SpecError
from moframework.inputs.trees import Tree

__all__ = ["Boundary", "Cut", "find_boundary"]

_LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Cut:
    """A pass in which the heads read a leaf in the place of the features."""

    def __init__(self) -> None:
        self.features: Tensor | None = None
        self.leaf: Tensor | None = None

    @property
    def tensors(self) -> tuple[Tensor, Tensor]:
        """The leaf and the features, once the network was run."""
        assert self.leaf is not None, "the heads were run"
        assert self.features is not None, "with the leaf"
        return self.leaf, self.features

    def __call__(self, module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        """A hook of the modules that begin the heads."""
        if self.features is None:
            self.features, self.leaf = given[0], given[0].detach().requires_grad_()
        if given[0] is not self.features:
            raise SpecError(
                "solver.objective: the heads read one tensor in the first step and several in this one, so there are "
                "no features in common: take an objective that goes by the gradients of the parameters"
            )
        return (self.leaf, *given[1:])


@frozen(kw_only=True)
class Boundary:
    """Where the heads begin.

    Attributes:
        heads: the module that each task's head begins with.
        first: name of the weight of the layer in it that reads the features, for each task.
        parameters: names of all parameters of each head.
        dim: dimension of the features, (b, …), which the first layers are linear in.
    """

    heads: tuple[nn.Module, ...]
    first: tuple[str, ...]
    parameters: tuple[tuple[str, ...], ...]
    dim: int

    @contextlib.contextmanager
    def cut(self) -> Iterator[Cut]:
        """While inside, the heads read a leaf."""
        found = Cut()
        handles = [head.register_forward_pre_hook(found) for head in self.heads]
        try:
            yield found
        finally:
            for handle in handles:
                handle.remove()

    def rows(self, features: Tensor) -> Tensor:
        """Features or gradients of them as rows (n, d)."""
        return features.movedim(self.dim, -1).flatten(0, -2)

    def back(self, rows: Tensor, like: Tensor) -> Tensor:
        """The inverse of `rows`, in the shape of `like`."""
        moved = like.movedim(self.dim, -1)
        return rows.reshape(moved.shape).movedim(-1, self.dim)


@frozen
class _Call:
    """A module was given a tensor: its name in the network, itself, and the tensor."""

    name: str
    module: nn.Module
    given: Tensor


def find_boundary(step: Step, theta: Mapping[str, Tensor], x: Tree, targets: Targets) -> Boundary:
    """Where the heads of a step's network begin, from one pass on a batch; the network's buffers stay.

    Raises:
        SpecError: a task has no head, the heads do not read one tensor, or they do not begin with a linear layer.
    """
    leaves = {name: value.detach().requires_grad_(value.requires_grad) for name, value in theta.items()}
    with _called(step.model.skeleton) as calls:
        losses = step.losses_by_task(leaves, x, targets)
    tasks = [task.name for task in step.tasks]
    own = _heads(tasks, losses, leaves)
    begins = [_beginning(task, names, calls) for task, names in zip(tasks, own, strict=True)]
    features = begins[0].given
    for task, call in zip(tasks, begins, strict=True):
        if call.given is not features:
            raise SpecError(
                f"solver.objective: the heads of {tasks[0]} and {task} do not read the same tensor ('{begins[0].name}' "
                f"and '{call.name}' are given different ones), so there are no features to combine gradients at: let "
                "one module make what all heads read, or take an objective that goes by the gradients of the parameters"
            )
    if not features.requires_grad:
        raise SpecError("solver.objective: the features that the heads read depend on no parameter that is trained")
    firsts = [_first_layer(task, names, calls, features) for task, names in zip(tasks, own, strict=True)]
    dims = {features.dim() - 1 if isinstance(call.module, nn.Linear) else 1 for call in firsts}
    if len(dims) > 1:
        raise SpecError("solver.objective: some heads begin with a linear layer and others with a convolution")
    return Boundary(
        heads=tuple(call.module for call in begins),
        first=tuple(f"{call.name}.weight" if call.name else "weight" for call in firsts),
        parameters=tuple(tuple(names) for names in own),
        dim=dims.pop(),
    )


def _heads(tasks: Sequence[str], losses: Sequence[Tensor], leaves: Mapping[str, Tensor]) -> list[list[str]]:
    """Names of the parameters that each task's loss alone reaches."""
    trained = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    reached = []
    for loss in losses:
        found = torch.autograd.grad(loss, list(trained.values()), retain_graph=True, allow_unused=True)
        reached.append({name for name, gradient in zip(trained, found, strict=True) if gradient is not None})
    heads = []
    for t, task in enumerate(tasks):
        others = set[str]().union(*(names for s, names in enumerate(reached) if s != t))
        own = [name for name in trained if name in reached[t] - others]
        if not own or len(tasks) < 2:
            raise SpecError(
                f"solver.objective: task '{task}' has no head, for no parameter of the network is its own; gradients "
                "are combined at features that heads of several tasks read: give each task an output of its own, or "
                "take an objective that goes by the gradients of the parameters"
            )
        heads.append(own)
    return heads


@contextlib.contextmanager
def _called(network: nn.Module) -> Iterator[list[_Call]]:
    """What modules are given as their first input while inside, in the order of the calls."""
    calls: list[_Call] = []

    def hook(name: str) -> Any:
        def noted(module: nn.Module, given: tuple[Any, ...]) -> None:
            if given and isinstance(given[0], Tensor):
                calls.append(_Call(name, module, given[0]))

        return noted

    handles = [module.register_forward_pre_hook(hook(name)) for name, module in network.named_modules()]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _beginning(task: str, own: Sequence[str], calls: Sequence[_Call]) -> _Call:
    """The first call of a module whose parameters are all of one task's head."""
    for call in calls:
        inside = [name for name, _ in _parameters(call)]
        if inside and set(inside) <= set(own):
            return call
    raise SpecError(
        f"solver.objective: no module of the network has the head of task '{task}' ({own[0]}, …) and is given one "
        "tensor: write the head as a module of its own, such as an nn.Linear"
    )


def _parameters(call: _Call) -> Iterator[tuple[str, None]]:
    """Names of the parameters of a module, whose tensors are elsewhere."""
    start = f"{call.name}." if call.name else ""
    for prefix, module in call.module.named_modules():
        for key in module._parameters:
            yield f"{start}{prefix}.{key}" if prefix else f"{start}{key}", None


def _first_layer(task: str, own: Sequence[str], calls: Sequence[_Call], features: Tensor) -> _Call:
    """The layer of a head that reads the features."""
    readers = [call for call in calls if call.given is features and not list(call.module.children())]
    mine = [call for call in readers if {name for name, _ in _parameters(call)} & set(own)]
    if len(mine) == 1 and isinstance(mine[0].module, _LINEAR) and getattr(mine[0].module, "groups", 1) == 1:
        return mine[0]
    found = ", ".join(type(call.module).__name__ for call in mine) or "none"
    raise SpecError(
        f"solver.objective: the head of task '{task}' must begin with one linear layer or convolution that reads the "
        f"features; the layers with parameters that read them are: {found}"
    )
