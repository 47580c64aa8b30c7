"""Convex combinations of m complete networks: the weight space of PaMaL.

    θ(λ) = Σ_t λ_t θ_t                                          (PaMaL, arXiv 2210.09759, Eq. 2)

over all parameters: weights, biases, scales and shifts of normalization layers; or over a part S of them, and the rest
is trained and shared (Conditional Language Policy, arXiv 2407.15762). Running statistics are buffers of the network and
shared.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, cast

from torch import Tensor, nn

from moframework.config import config, option
from moframework.errors import SpecError, meant
from moframework.weights.base import WeightSpace, WeightSpaceConfig
from moframework.weights.stacked import Stacked
from moframework.weights.starting import merged_values

__all__ = ["ConvexHull", "ConvexHullSpace"]

_SHOWN = 4  # names in a message


@config
class ConvexHull(WeightSpaceConfig):
    """One complete network per task, initialized independently, and everything between them (PaMaL, ICML 2023, arXiv
    2210.09759). The overhead is m − 1 networks: +100 % for two tasks.

    With `only`, members have parameters of their own where a pattern matches, as in Conditional Language Policy (Wang
    et al., EMNLP Findings 2024, arXiv 2407.15762); all others are one for every λ, and the overhead is m − 1 times what
    matches. That work starts all members from one pretrained network (`initial`).

    >>> import torch
    >>> space = ConvexHull().build(lambda: nn.Linear(3, 2), m=2, initial=None)
    >>> first, second = (space.weights(vertex)["weight"] for vertex in torch.eye(2))
    >>> torch.allclose(space.weights(torch.tensor([0.25, 0.75]))["weight"], first / 4 + second * 3 / 4)
    True
    """

    lr_factor: float | None = option(
        None,
        gt=0,
        help="learning rate of the members over that of the training; none means m, as in the paper (its released "
        "code has 1)",
    )
    only: str | tuple[str, ...] | None = option(
        None, help="a pattern of parameters' names, or several, that members have of their own; none: all"
    )

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """m networks made by `make`, initialized independently, or m copies of `initial`."""
        members = [merged_values(make(), initial) for _ in range(m)]
        factor = float(m) if self.lr_factor is None else self.lr_factor
        return ConvexHullSpace(members, factor, self._shared(members[0]))

    def _shared(self, member: Mapping[str, nn.Parameter]) -> set[str]:
        """The names that no pattern matches."""
        if self.only is None:
            return set()
        patterns = (self.only,) if isinstance(self.only, str) else self.only
        trained = [name for name, value in member.items() if value.requires_grad]
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in trained):
                near = meant(pattern, trained)
                shown = ", ".join(trained[:_SHOWN]) + (", …" if len(trained) > _SHOWN else "")
                raise SpecError(f"only: '{pattern}' matches no parameter that is trained; {near}there are {shown}")
        return {name for name in trained if not any(fnmatchcase(name, pattern) for pattern in patterns)}


class ConvexHullSpace(WeightSpace):
    """θ(λ) = Σ_t λ_t θ_t, but for parameters of the names that are `shared`."""

    def __init__(self, members: list[dict[str, nn.Parameter]], lr_factor: float, shared: Collection[str] = ()) -> None:
        super().__init__()
        self.members = Stacked(members, shared)
        self.lr_factor = lr_factor

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        return self.members.combine(preference.unsqueeze(0))[0]

    def weights_of(self, preferences: Tensor) -> list[dict[str, Tensor]]:
        """See `WeightSpace.weights_of`: as many products as for one preference."""
        return self.members.combine(preferences)

    def split_by_layer(self, layers: Sequence[Sequence[str]]) -> list[WeightSpace]:
        """See `ShardableSpace.split_by_layer`."""
        return [ConvexHullSpace(self.members.sets(n), self.lr_factor, self.members.shared) for n in layers]

    def load_layers(self, spaces: Sequence[WeightSpace]) -> None:
        """See `ShardableSpace.load_layers`."""
        for space in cast("Sequence[ConvexHullSpace]", spaces):
            self.members.load(space.members.sets(space.members.names))

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """All members at `lr_factor · lr`: each of them gets λ_t, on average 1/m, of the gradient; what they share at
        `lr`."""
        shared = [parameter for _, parameter in self.members.shared_parameters()]
        own = {id(parameter) for parameter in shared}
        trained = [p for p in self.parameters() if p.requires_grad and id(p) not in own]
        groups = [("members", trained, lr * self.lr_factor), ("shared", shared, lr)]
        return [{"name": name, "params": params, "lr": rate} for name, params, rate in groups if params]

    def named_storage(self) -> list[tuple[tuple[str, ...], Tensor]]:
        """See `WeightSpace.named_storage`: all members alike."""
        return self.members.named_storage()

    def separate(self, key: Callable[[str], Hashable]) -> None:
        """See `WeightSpace.separate`."""
        self.members.separate(key)
