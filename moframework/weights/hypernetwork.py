"""A small network that computes the weights of the large one from the preference: the weight space of PHN.

    θ(λ) = b + Σ_k f_k(λ) W_k,        f = MLP(λ)               (PHN, arXiv 2010.04104, §3)

with one linear head (W, b) a tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.config.options import WIDEST
from moframework.weights.base import WeightSpace, WeightSpaceConfig
from moframework.weights.stacked import Stacked
from moframework.weights.starting import merged_values

__all__ = ["Hypernetwork", "HypernetworkSpace", "multi_layer", "typical_size"]


@config
class Hypernetwork(WeightSpaceConfig):
    """An MLP on λ with a linear head for each parameter tensor (PHN, ICLR 2021, arXiv 2010.04104).

    With h features it has h + 1 times the parameters of the network (LeNet: 2,792,950 with h = 100): for large
    networks see `chunked_hypernetwork`. Biases of the heads start as a fresh network, so that training begins at
    weights as the backbone draws them, a little different for every λ.

    >>> space = Hypernetwork(hidden=(10,)).build(lambda: nn.Linear(3, 2), m=2, initial=None)
    >>> sum(p.numel() for p in space.parameters())  # a head 10 · 8 + 8, the MLP 30 + 110
    228
    """

    hidden: tuple[int, ...] = option(
        (100, 100),
        ge=1,
        le=WIDEST,
        help="widths of the hidden layers on λ; the last one is also the number of features",
    )

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """The hypernetwork of one network made by `make`, or of `initial`."""
        return HypernetworkSpace(merged_values(make(), initial), m, self.hidden)


class HypernetworkSpace(WeightSpace):
    """θ(λ) = b + Σ_k f_k(λ) W_k; b and the W_k are stored as parameter sets of one network."""

    group = "hypernetwork"

    def __init__(self, start: dict[str, nn.Parameter], m: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.features = multi_layer(m, hidden)
        gain = 1 / math.sqrt(hidden[-1])
        sets = [start]
        for _ in range(hidden[-1]):
            drawn = {
                name: torch.randn_like(value) * (gain * typical_size(value.shape))
                for name, value in start.items()
                if value.requires_grad  # the others are kept once, from the first set
            }
            sets.append({name: nn.Parameter(value) for name, value in drawn.items()})
        self.heads = Stacked(sets)

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        return self.weights_of(preference.unsqueeze(0))[0]

    def weights_of(self, preferences: Tensor) -> list[dict[str, Tensor]]:
        """See `WeightSpace.weights_of`: as many products as for one preference."""
        features = self.embedded(preferences)
        return self.heads.combine(torch.cat([features.new_ones(len(features), 1), features], dim=1))

    def embedded(self, preferences: Tensor) -> Tensor:
        """f(λ), (r, features)."""
        first = next(self.features.parameters())
        return cast(Tensor, self.features(preferences.to(first.device, first.dtype, non_blocking=True)))

    def named_storage(self) -> list[tuple[tuple[str, ...], Tensor]]:
        """See `WeightSpace.named_storage`: the heads by what they give, the MLP as `hypernetwork.…`."""
        own = [((f"hypernetwork.{name}",), parameter) for name, parameter in self.features.named_parameters()]
        return [*own, *self.heads.named_storage()]

    def separate(self, key: Callable[[str], Hashable]) -> None:
        """See `WeightSpace.separate`."""
        self.heads.separate(key)


def multi_layer(inputs: int, hidden: Sequence[int]) -> nn.Sequential:
    """`inputs` numbers to as many features as the last of `hidden`: hidden layers with ReLU, then a linear one, as in
    the released code of PHN."""
    layers: list[nn.Module] = []
    for before, width in zip((inputs, *hidden), hidden, strict=False):
        layers += [nn.Linear(before, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden[-1], hidden[-1]))


def typical_size(shape: torch.Size) -> float:
    """Standard deviation of a fresh linear layer with such a weight, 1/√(3 fan-in); one of fan-in n for a vector
    (n,)."""
    fan_in = shape.numel() // shape[0] if len(shape) > 1 else shape.numel()
    return 1 / math.sqrt(3 * max(1, fan_in))
