"""Members given to a convex hull of networks, and a hull some of whose members stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.errors import SpecError
from moframework.merging.members import Members
from moframework.weights import WeightSpace, WeightSpaceConfig
from moframework.weights.convex_hull import ConvexHullSpace
from moframework.weights.remapped import unmapped
from moframework.weights.stacked import Stacked
from moframework.weights.starting import merged_values

__all__ = ["FrozenHull", "FrozenHullSpace", "fill_hull"]


@config
class FrozenHull(WeightSpaceConfig):
    """θ(λ) = Σ_t λ_t θ_t, where some of the θ_t are not trained: see `convex_hull`.

    >>> space = FrozenHull(frozen=(0,)).build(lambda: nn.Linear(3, 2), m=2, initial=None)
    >>> sum(p.numel() for p in space.parameters() if p.requires_grad)  # one network of two
    8
    """

    frozen: tuple[int, ...] = option(ge=0, le=9_999, help="tasks whose members stay as they are, by their place from 0")
    lr_factor: float | None = option(
        None, gt=0, help="learning rate of the other members over that of the training; none means m"
    )

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """m networks made by `make`, or copies of `initial`."""
        held = sorted(set(self.frozen))
        if any(place >= m for place in held) or len(held) == m:
            raise SpecError(
                f"weights.frozen: of {m} members some, not all, can stay as they are; solver soup trains none"
            )
        members = [merged_values(make(), initial) for _ in range(m)]
        return FrozenHullSpace(members, held, float(m) if self.lr_factor is None else self.lr_factor)


class FrozenHullSpace(WeightSpace):
    """θ(λ) = Σ_t λ_t θ_t over members that are trained, and members that are held."""

    def __init__(self, members: list[dict[str, nn.Parameter]], held: list[int], lr_factor: float) -> None:
        super().__init__()
        self.places = [t for t in range(len(members)) if t not in held], held
        self.trained, self.held = (Stacked([members[t] for t in places]) for places in self.places)
        self.held.requires_grad_(False)
        self.lr_factor = lr_factor
        self._fixed = {name for name, value in members[0].items() if not value.requires_grad}

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        return self.weights_of(preference.unsqueeze(0))[0]

    def weights_of(self, preferences: Tensor) -> list[dict[str, Tensor]]:
        """See `WeightSpace.weights_of`."""
        moving, resting = (
            stacked.combine(preferences[:, places])
            for stacked, places in zip((self.trained, self.held), self.places, strict=True)
        )
        return [
            {name: value if name in self._fixed else value + rest[name] for name, value in theta.items()}
            for theta, rest in zip(moving, resting, strict=True)
        ]

    def load(self, sets: Sequence[Mapping[str, Tensor]]) -> None:
        """Take over the values of all members, in place."""
        for stacked, places in zip((self.trained, self.held), self.places, strict=True):
            stacked.load([sets[t] for t in places])

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """The members that are trained, at `lr_factor · lr`."""
        trained = [p for p in self.parameters() if p.requires_grad]
        return [{"name": "members", "params": trained, "lr": lr * self.lr_factor}]

    def named_storage(self) -> list[tuple[tuple[str, ...], Tensor]]:
        """See `WeightSpace.named_storage`."""
        return self.trained.named_storage()

    def separate(self, key: Callable[[str], Hashable]) -> None:
        """See `WeightSpace.separate`."""
        self.trained.separate(key)


@torch.no_grad()
def fill_hull(space: WeightSpace, members: Members, heads: Sequence[Sequence[str]]) -> list[str]:
    """Let a hull's members be these. The head of a task, which no other member has trained, is in all of them that of
    its own member."""
    space = unmapped(space)
    owners = {name: state for state, names in zip(members.states, heads, strict=True) for name in names}
    if isinstance(space, ConvexHullSpace):
        names, load = space.members.names, space.members.load
    else:
        assert isinstance(space, FrozenHullSpace), "the solver's own space"
        names, load = space.trained.names, space.load
    load([{name: owners.get(name, state)[name] for name in names} for state in members.states])
    return []
