"""Merged networks as a weight space: frozen task vectors, and θ(λ) as a pure function of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.merging.base import Merge
from moframework.merging.linear import LinearMerge
from moframework.merging.lines import LiNeS, depth_factors
from moframework.merging.members import Members
from moframework.weights import WeightSpace, WeightSpaceConfig
from moframework.weights.mixed import inverse_mixing

__all__ = ["Merged", "MergedSpace", "TaskVectors"]


class TaskVectors(nn.Module):
    """A network θ_0 and m vectors τ_t over the same parameters, none of which is trained.

    Parameters lie one after the other in one vector of float32 each. Until `take` the start is the network's own
    weights and the vectors are 0.

    Args:
        network: names and shapes.
        m: number of vectors.
    """

    def __init__(self, network: nn.Module, m: int) -> None:
        super().__init__()
        values = dict(network.named_parameters())
        self.names = list(values)
        self.shapes = [value.shape for value in values.values()]
        self.dtypes = [value.dtype for value in values.values()]
        self.sizes = [value.numel() for value in values.values()]
        start = torch.cat([value.detach().flatten().float() for value in values.values()])
        self.base = nn.Parameter(start, requires_grad=False)
        self.vectors = nn.Parameter(start.new_zeros(m, len(start)), requires_grad=False)

    @torch.no_grad()
    def take(self, members: Members, heads: Sequence[Sequence[str]]) -> None:
        """Take over the members: τ_t = θ_t − θ_0. A task's head comes from its member and is in no vector."""
        start = members.start()
        for task, names in enumerate(heads):
            start |= {name: members.states[task][name] for name in names}
        owned = {name for names in heads for name in names}
        self.base.copy_(self._flat(start))
        for row, state in zip(self.vectors, members.states, strict=True):
            row.copy_(self._flat({name: start[name] if name in owned else state[name] for name in self.names}))
            row -= self.base

    def _flat(self, state: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([state[name].flatten().float() for name in self.names]).to(self.base.device)

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        """A flat vector as tensors by name, in the network's own types."""
        parts = torch.split(flat, self.sizes)
        return {
            name: part.view(shape).to(dtype)
            for name, part, shape, dtype in zip(self.names, parts, self.shapes, self.dtypes, strict=True)
        }


@config
class Merged(WeightSpaceConfig):
    """Networks merged from members that were trained on one task each from a common start; nothing is trained.

    `θ(λ) = θ_0 + s f ⊙ v(c(λ))`: v is the merge of the task vectors, s a scale, f factors by depth (LiNeS), c(λ) = λ
    unless the members were trained at other preferences than the vertices. m + 1 networks are held.

    >>> def of(value):
    ...     return {"weight": torch.tensor([[value]])}
    >>> space = Merged().build(lambda: nn.Linear(1, 1, bias=False), m=2, initial=None)
    >>> _ = space.take(Members(states=[of(3.0), of(5.0)], base=of(1.0)), heads=[[], []])
    >>> space.weights(torch.tensor([0.5, 0.5]))["weight"]  # 1 + ½ (3 − 1) + ½ (5 − 1)
    tensor([[4.]])
    """

    merge: Merge = option(LinearMerge(), help="how task vectors become one")
    scale: float = option(1.0, ge=0, help="factor s of the merged vector")
    lines: LiNeS | None = option(None, help="factors by depth; none: 1")
    trained_at: tuple[tuple[float, ...], ...] | None = option(
        None, help="the preference that each member was trained at; none: the vertices"
    )

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """The space around one network made by `make`, whose vectors are 0 until it is given members."""
        network = make()
        if initial is not None:
            network.load_state_dict(dict(initial), strict=False)
        return MergedSpace(network, m, self)


class MergedSpace(WeightSpace):
    """θ(λ) = θ_0 + s f ⊙ v(c(λ))."""

    def __init__(self, network: nn.Module, m: int, options: Merged) -> None:
        super().__init__()
        self.options = options
        self.stored = TaskVectors(network, m)
        self.factors = nn.Parameter(torch.ones(len(self.stored.names)), requires_grad=False)
        mixing = inverse_mixing(options.trained_at, m)
        self.register_buffer("mixing", mixing, persistent=False)

    @torch.no_grad()
    def take(self, members: Members, heads: Sequence[Sequence[str]]) -> list[str]:
        """Take over members and heads. Returns what is to be told: the depth map."""
        self.stored.take(members, heads)
        vectors, m = self.stored.vectors, len(self.stored.vectors)
        total = float(vectors.sum(dim=0).abs().sum())
        vectors.copy_(self.options.merge.edited(vectors))
        lines = self.options.lines
        if lines is None:
            return []
        center = self.options.merge.combined(vectors, vectors.new_full((m,), 1 / m))
        size = m * float(center.abs().sum())
        alpha = lines.alpha if lines.alpha is not None else (total / size if size else 1.0)
        owned = {name for names in heads for name in names}
        merged = [name for name in self.stored.names if name not in owned]
        values, blocks = depth_factors(merged, lines.blocks, alpha, lines.beta)
        by_name = dict(zip(merged, values, strict=True))
        self.factors.copy_(torch.tensor([by_name.get(name, 1.0) for name in self.stored.names]))
        return [f"LiNeS: factors from {alpha:.4g} to {alpha + lines.beta:.4g} over the blocks {', '.join(blocks)}"]

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        """See `WeightSpace.weights`."""
        stored = self.stored
        given = preference.to(stored.vectors)
        mixing: Any = self.mixing
        weights = given if mixing is None else mixing @ given
        vector = self.options.scale * self.options.merge.combined(stored.vectors, weights)
        if self.options.lines is not None:
            sizes = torch.tensor(stored.sizes, device=vector.device)
            vector = vector * torch.repeat_interleave(self.factors, sizes, output_size=len(vector))
        return stored.named(stored.base + vector)
