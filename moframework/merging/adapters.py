"""Members as low-rank adapters: the best approximation of each task vector at the adapters' rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch

from moframework.merging.members import Members
from moframework.weights import WeightSpace
from moframework.weights.adapter_starts import factors_of
from moframework.weights.low_rank import LowRankSpace
from moframework.weights.remapped import unmapped

__all__ = ["fill_adapters"]


@torch.no_grad()
def fill_adapters(space: WeightSpace, members: Members, heads: Sequence[Sequence[str]]) -> list[str]:
    """Let the shared network be the base, with each head from its member, and the adapters what their rank holds of the
    task vectors. An adapter of a weight that its member has not changed stays as it was drawn."""
    space = cast(LowRankSpace, unmapped(space))
    start = members.start()
    for state, names in zip(members.states, heads, strict=True):
        start |= {name: state[name] for name in names}
    owned = {name for names in heads for name in names}
    for name, parameter in space._by_name().items():
        parameter.copy_(start[name])
    whole = lost = 0.0
    for adapter, a, b in zip(space.adapted, space.a, space.b, strict=True):
        for task, state in enumerate(members.states):
            vector = state[adapter.name].float() - start[adapter.name].float()
            if adapter.name in owned or not bool(vector.any()):
                continue
            rows = slice(task * adapter.inner, (task + 1) * adapter.inner)
            first, second, rest = factors_of(vector, adapter, space.scale)
            a[rows], b[:, rows] = first.to(a), second.to(b)
            whole, lost = whole + float(vector.double().square().sum()), lost + rest
    if whole == 0:
        return ["the members are the network they started from: adapters start as without them"]
    share = math.sqrt(max(1 - lost / whole, 0.0))
    return [f"adapters hold {share:.0%} of the norm of what members changed in the adapted weights"]
