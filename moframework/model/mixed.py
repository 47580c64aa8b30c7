"""A batch with a preference for each sample: which ways there are through a network, and the one that always works.

What a way computes for sample i is what the network makes of it with θ(λ_i). Where λ is an input of the network, as for
COSMOS, there is nothing to do: one pass reads a λ for each sample. In activation space (`one_pass`) the layers of one
pass each have weights of their own for each sample, which are never made. Everything else is grouped: samples with the
same weights go through the network together, one pass for each preference.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import cast

import torch
from torch import Tensor

from moframework.inputs.trees import Tree, count_samples, device_of, select_samples
from moframework.model.one_pass import OnePass
from moframework.model.operating_point import PreferenceLike, as_preferences, numbers_of
from moframework.model.protocol import Model
from moframework.weights.conditioned import ConditionedSpace
from moframework.weights.finite import FiniteSpace
from moframework.weights.remapped import unmapped

__all__ = ["grouped", "groups_of", "mixed_outputs"]

Outputs = dict[str, Tensor]


def mixed_outputs(model: Model, x: Tree, preferences: PreferenceLike, found: OnePass | str) -> Outputs:
    """The outputs of a batch with a preference for each sample, by output key; see `ParetoModel.forward`.

    Args:
        model: in use, all of it: in training, what layers take from a batch would depend on how it is grouped.
        x: inputs of b samples.
        preferences: (b, m).
        found: what goes through the network in one pass, or why nothing does.

    Raises:
        ValueError: as by `as_preferences` and `groups_of`; or a part of the network is in training.
    """
    if found.trains() if isinstance(found, OnePass) else any(module.training for module in model.skeleton.modules()):
        raise ValueError(
            "a preference for each sample is for a model in use: call model.eval() first. In training, what layers "
            "take from a batch, such as BatchNorm, would depend on how its samples are grouped"
        )
    rows, host = as_preferences(preferences, model.tasks, count_samples(x))
    space = model.space
    if isinstance(unmapped(space), ConditionedSpace):
        return model.call(space.weights(rows), x)
    if len(rows) == 0:
        return cast(Outputs, model(x, [1.0] * len(model.tasks)))
    if host is not None and not rows.requires_grad and _are_equal(host):
        return cast(Outputs, model(x, rows[0]))
    if isinstance(found, OnePass):
        distinct = len(rows) if found.times <= 2 or host is None else len(set(map(tuple, host.tolist())))
        if found.times <= max(2, distinct):
            return found(model, x, rows)
    return grouped(model, x, rows, groups_of(rows, space.nearest if isinstance(space, FiniteSpace) else None))


def _are_equal(rows: Tensor) -> bool:
    return rows[0].tolist() == rows[-1].tolist() and bool((rows == rows[0]).all())


def groups_of(preferences: Tensor, key: Callable[[list[float]], Hashable] | None = None) -> list[list[int]]:
    """The rows of some preferences (b, m) that share their weights, each group in order.

    Rows of a tensor that needs its gradient stay apart, so that each gets its own.

    Args:
        key: of a row, what tells its weights; None: its numbers.

    Raises:
        ValueError: the numbers cannot be read: while something is compiled, exported, traced or vectorized.

    >>> groups_of(torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.5, 0.5]]))
    [[0, 2], [1]]
    """
    numbers = numbers_of(preferences.detach())
    if numbers is None:
        raise ValueError(
            "samples with preferences of their own are grouped by them, which cannot be compiled, exported, traced, "
            "vectorized or captured: this network has no single pass for them (`how_mixed` says why)"
        )
    if key is None and preferences.requires_grad and torch.is_grad_enabled():
        return [[row] for row in range(len(preferences))]
    found: dict[Hashable, list[int]] = {}
    for row, own in enumerate(map(key or tuple, numbers)):
        found.setdefault(own, []).append(row)
    return list(found.values())


def grouped(
    run: Callable[[Tree, Tensor], Outputs], x: Tree, preferences: Tensor, groups: Sequence[Sequence[int]]
) -> Outputs:
    """The outputs of a batch, one forward pass for each group of samples, in the order of the samples.

    Args:
        run: inputs and a preference (m,) → outputs.
        x: inputs of b samples.
        preferences: (b, m).
        groups: rows that share their weights; together all of them.

    Raises:
        ValueError: an output has no entry for each sample.
    """
    if len(groups) == 1:
        return run(x, preferences[0])
    device = device_of(x)
    results = []
    for rows in groups:
        outputs = run(select_samples(x, torch.tensor(rows, device=device)), preferences[rows[0]])
        for name, value in outputs.items():
            if value.dim() == 0 or len(value) != len(rows):
                raise ValueError(
                    f"the output '{name}' of {len(rows)} samples has the shape {tuple(value.shape)}: for preferences "
                    "of their own each sample needs its entry, along the first dimension"
                )
        results.append(outputs)
    places = torch.tensor([row for rows in groups for row in rows]).argsort()
    together = {name: torch.cat([outputs[name] for outputs in results]) for name in results[0]}
    return {name: value.index_select(0, places.to(value.device)) for name, value in together.items()}
