"""Heads: the parameters that one task's output alone depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from moframework.backbones.base import named_outputs
from moframework.errors import SpecError, nearest
from moframework.inputs import HowToCall, Tree, called

__all__ = ["find_heads", "head_buffers", "named_heads"]


def find_heads(network: nn.Module, outputs: Sequence[str], x: Tree, how: HowToCall) -> list[list[str]]:
    """Which parameters each task's output depends on, and no other task's.

    It is read from the graph of one forward pass, so that it does not matter whether a gradient happens to be zero.

    Args:
        network: one with its own weights; as it was afterwards.
        outputs: the output key of each task; tasks that share an output have no heads.
        x: a batch for it.
        how: it is called.

    Returns:
        names of parameters for each task, in the network's order.
    """
    parameters = dict(network.named_parameters())
    frozen = [value for value in parameters.values() if not value.requires_grad]
    keys = list(dict.fromkeys(outputs))
    was_training = network.training
    network.eval()
    try:
        for value in frozen:
            value.requires_grad_(True)
        with torch.enable_grad():
            found = named_outputs(called(network, x, how), keys)
            reached = {key: _reached(found[key], parameters) for key in keys}
    finally:
        for value in frozen:
            value.requires_grad_(False)
        network.train(was_training)
    own = []
    for key in outputs:
        others = set[str]().union(*(reached[other] for other in keys if other != key))
        alone = outputs.count(key) == 1 and len(keys) > 1
        own.append([name for name in parameters if name in reached[key] - others] if alone else [])
    return own


def _reached(output: Tensor, parameters: Mapping[str, nn.Parameter]) -> set[str]:
    if not output.requires_grad:
        return set()
    gradients = torch.autograd.grad(
        output.float().sum(), list(parameters.values()), retain_graph=True, allow_unused=True
    )
    return {name for name, gradient in zip(parameters, gradients, strict=True) if gradient is not None}


def named_heads(
    network: nn.Module, heads: Mapping[str, tuple[str, ...] | str], tasks: Sequence[str]
) -> list[list[str]]:
    """The parameters of each task's head, as a spec names them.

    Args:
        heads: for a task, names of parameters or modules, as in `network.named_parameters()`; tasks that are not named
            have no head.

    Raises:
        SpecError: a name is no task, nothing in the network is called so, or two tasks have one parameter.
    """
    names = [name for name, _ in network.named_parameters()]
    known = {name[:end] for name in names for end in range(1, len(name) + 1) if end == len(name) or name[end] == "."}
    own: dict[str, list[str]] = {task: [] for task in tasks}
    for task, prefixes in heads.items():
        if task not in own:
            raise SpecError(f"solver.heads: '{task}' is no task; the tasks are: {', '.join(tasks)}")
        for prefix in (prefixes,) if isinstance(prefixes, str) else prefixes:
            found = [name for name in names if name == prefix or name.startswith(f"{prefix}.")]
            if not found:
                guess = nearest(prefix, sorted(known))
                hint = f"; did you mean '{guess}'?" if guess else ""
                raise SpecError(f"solver.heads.{task}: no parameter or module is called '{prefix}'{hint}")
            own[task] += [name for name in found if name not in own[task]]
    for task, mine in own.items():
        for other, theirs in own.items():
            shared = sorted(set(mine) & set(theirs)) if task < other else []
            if shared:
                raise SpecError(f"solver.heads: {shared[0]} is in the heads of both {task} and {other}")
    return [own[task] for task in tasks]


def head_buffers(network: nn.Module, heads: Sequence[Sequence[str]]) -> list[list[str]]:
    """Buffers of modules all of whose own parameters are in one task's head, for each task: they belong to it, too."""
    found: list[list[str]] = [[] for _ in heads]
    for prefix, module in network.named_modules():
        start = f"{prefix}." if prefix else ""
        own = {f"{start}{key}" for key, value in module._parameters.items() if value is not None}
        for buffers, head in zip(found, heads, strict=True):
            if own and own <= set(head):
                buffers += [f"{start}{key}" for key, value in module._buffers.items() if value is not None]
    return found
