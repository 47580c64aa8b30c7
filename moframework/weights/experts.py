"""A trained network plus a mixture of expert networks, whose weights in it a small network computes from λ.

θ(λ) = θ0 + Σ_i a_i(λ) E_i,      a = MLP(λ)                 (Soup-of-Experts, arXiv 2502.01804)
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.config.options import WIDEST
from moframework.weights.base import WeightSpace, WeightSpaceConfig
from moframework.weights.hypernetwork import multi_layer
from moframework.weights.stacked import Stacked
from moframework.weights.starting import merged_values

__all__ = ["Experts", "ExpertsSpace"]


@config
class Experts(WeightSpaceConfig):
    """Shared network plus experts mixed by an MLP on λ (Ablin et al.: Soup-of-Experts, ICML 2025, arXiv 2502.01804).

    Of that work the abstract was read: dense experts, combined linearly by what an MLP makes of the weights of domains,
    trained on batches that are drawn with these weights. Its 128 experts are for 16 domains; number, sizes and starts
    here are ours: experts are zero at the start, so that every λ begins with the same network, and the MLP is that of
    PHN. The overhead is as many networks as there are experts.

    Unlike the members of `convex_hull`, experts belong to no task, and a is not linear in λ.

    >>> space = Experts(count=3, hidden=(10,)).build(lambda: nn.Linear(3, 2), m=2, initial=None)
    >>> first, second = (space.weights(vertex)["weight"] for vertex in torch.eye(2))
    >>> torch.equal(first, second)  # at the start, while the experts are zero
    True
    """

    count: int | None = option(None, ge=1, le=1024, help="number of experts; none: one for each task")
    hidden: tuple[int, ...] = option((100,), ge=1, le=WIDEST, help="widths of the hidden layers on λ")

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """The space around one network made by `make`, or around `initial`."""
        return ExpertsSpace(merged_values(make(), initial), m, m if self.count is None else self.count, self.hidden)


class ExpertsSpace(WeightSpace):
    """θ(λ) = θ0 + Σ_i a_i(λ) E_i; all of them are stored as parameter sets of one network."""

    group = "experts"

    def __init__(self, start: dict[str, nn.Parameter], m: int, count: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.mixture = nn.Sequential(multi_layer(m, hidden), nn.ReLU(), nn.Linear(hidden[-1], count))
        zeros = [{name: nn.Parameter(torch.zeros_like(value)) for name, value in start.items()} for _ in range(count)]
        self.sets = Stacked([start, *zeros])

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        return self.weights_of(preference.unsqueeze(0))[0]

    def weights_of(self, preferences: Tensor) -> list[dict[str, Tensor]]:
        """See `WeightSpace.weights_of`: as many products as for one preference."""
        found = self.embedded(preferences)
        return self.sets.combine(torch.cat([found.new_ones(len(found), 1), found], dim=1))

    def embedded(self, preferences: Tensor) -> Tensor:
        """a(λ), (r, experts)."""
        first = next(self.mixture.parameters())
        return cast(Tensor, self.mixture(preferences.to(first.device, first.dtype, non_blocking=True)))

    def named_storage(self) -> list[tuple[tuple[str, ...], Tensor]]:
        """See `WeightSpace.named_storage`: θ0 and experts by what they give, the MLP as `experts.…`."""
        own = [((f"experts.{name}",), parameter) for name, parameter in self.mixture.named_parameters()]
        return [*own, *self.sets.named_storage()]

    def separate(self, key: Callable[[str], Hashable]) -> None:
        """See `WeightSpace.separate`."""
        self.sets.separate(key)
