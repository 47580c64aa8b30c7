"""Convex combinations of m complete networks: the weight space of PaMaL.

    θ(λ) = Σ_t λ_t θ_t                                          (PaMaL, arXiv 2210.09759, Eq. 2)

over all parameters: weights, biases, scales and shifts of normalization layers. Running statistics are buffers of the
network and shared.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn

from moframework.config import config, option
from moframework.weights.base import WeightSpace, WeightSpaceConfig
from moframework.weights.stacked import Stacked
from moframework.weights.starting import merged_values

__all__ = ["ConvexHull", "ConvexHullSpace"]


@config
class ConvexHull(WeightSpaceConfig):
    """One complete network per task, initialized independently, and everything between them (PaMaL, ICML 2023, arXiv
    2210.09759). The overhead is m − 1 networks: +100 % for two tasks."""

    lr_factor: float | None = option(
        None,
        gt=0,
        help="learning rate of the members over that of the training; none means m, as in the paper (its released "
        "code has 1)",
    )

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """m networks made by `make`, initialized independently, or m copies of `initial`."""
        members = [merged_values(make(), initial) for _ in range(m)]
        return ConvexHullSpace(members, float(m) if self.lr_factor is None else self.lr_factor)


class ConvexHullSpace(WeightSpace):
    """θ(λ) = Σ_t λ_t θ_t."""

    def __init__(self, members: list[dict[str, nn.Parameter]], lr_factor: float) -> None:
        super().__init__()
        self.members = Stacked(members)
        self.lr_factor = lr_factor

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        return self.members.combine(preference.unsqueeze(0))[0]

    def weights_of(self, preferences: Tensor) -> list[dict[str, Tensor]]:
        """See `WeightSpace.weights_of`: as many products as for one preference."""
        return self.members.combine(preferences)

    def split_by_layer(self, layers: Sequence[Sequence[str]]) -> list[WeightSpace]:
        """See `ShardableSpace.split_by_layer`."""
        return [ConvexHullSpace(self.members.sets(names), self.lr_factor) for names in layers]

    def load_layers(self, spaces: Sequence[WeightSpace]) -> None:
        """See `ShardableSpace.load_layers`."""
        for space in cast("Sequence[ConvexHullSpace]", spaces):
            self.members.load(space.members.sets(space.members.names))

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """All members at `lr_factor · lr`: each of them gets λ_t, on average 1/m, of the gradient."""
        trained = [p for p in self.parameters() if p.requires_grad]
        return [{"name": "members", "params": trained, "lr": lr * self.lr_factor}]

    def named_storage(self) -> list[tuple[tuple[str, ...], Tensor]]:
        """See `WeightSpace.named_storage`: all members alike."""
        return self.members.named_storage()

    def separate(self, key: Callable[[str], Hashable]) -> None:
        """See `WeightSpace.separate`."""
        self.members.separate(key)
