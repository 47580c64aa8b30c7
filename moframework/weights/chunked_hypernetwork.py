"""A hypernetwork that computes a large network piece by piece with one small head: affordable for ResNet-18.

    θ(λ) = θ0 + [ H · MLP(λ, e_1), H · MLP(λ, e_2), … ]         (PHN, arXiv 2010.04104, App. C; von Oswald et al.,
                                                                ICLR 2020, arXiv 1906.00695, §2.3)

with learned embeddings e_i of the pieces of equal size into which the parameters are cut.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.config.options import WIDEST
from moframework.weights.base import WeightSpace, WeightSpaceConfig
from moframework.weights.hypernetwork import multi_layer, typical_size
from moframework.weights.starting import listed, merged_values

__all__ = ["ChunkedHypernetwork", "ChunkedHypernetworkSpace"]


@config
class ChunkedHypernetwork(WeightSpaceConfig):
    """A trained network θ0 plus pieces that one hypernetwork with a shared head computes from λ and an embedding each.

    Overhead in parameters for p parameters in n = ⌈p/chunk⌉ pieces and h features: n·embedding + h·chunk plus the MLP;
    ResNet-18 (11,689,512) costs 491,412 more, +4.2 %. θ0 stands where the full hypernetwork has the biases of its
    heads: without it no two pieces could differ by more than h shared directions allow.

    >>> options = ChunkedHypernetwork(hidden=(10,), chunk=4, embedding=3)
    >>> space = options.build(lambda: nn.Linear(3, 2), m=2, initial=None)
    >>> sum(p.numel() for p in space.parameters())  # θ0 8, n·embedding 2 · 3, h·chunk 10 · 4, the MLP 60 + 110
    224
    """

    hidden: tuple[int, ...] = option(
        (100, 100),
        ge=1,
        le=WIDEST,
        help="widths of the hidden layers on λ and embedding; the last is also the number of features",
    )
    chunk: int = option(1024, ge=1, le=2**32, help="parameters of the network that one pass of the head computes")
    embedding: int = option(32, ge=1, le=WIDEST, help="length of a piece's learned embedding")

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """The hypernetwork around one network made by `make`, or around `initial`."""
        return ChunkedHypernetworkSpace(merged_values(make(), initial), m, self)


class ChunkedHypernetworkSpace(WeightSpace):
    """θ(λ) = θ0 + s ⊙ pieces(λ), where s brings each tensor to the size of a fresh one of its shape."""

    group = "hypernetwork"

    def __init__(self, start: dict[str, nn.Parameter], m: int, options: ChunkedHypernetwork) -> None:
        super().__init__()
        self._names = list(start)
        self._trained = [name for name in start if start[name].requires_grad]
        self._sizes = [start[name].numel() for name in self._trained]
        total = sum(self._sizes)
        self._scales = [typical_size(start[name].shape) for name in self._trained]
        self.base = nn.ParameterList(start.values())
        chunk = min(options.chunk, max(1, total))
        features = options.hidden[-1]
        self.embeddings = nn.Parameter(torch.randn(math.ceil(total / chunk), options.embedding))
        self.features = multi_layer(m + options.embedding, options.hidden)
        self.head = nn.Parameter(torch.randn(features, chunk) / math.sqrt(features))

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        """See `WeightSpace.weights`: the MLP over all pieces, one product, one addition a tensor."""
        return self.weights_of(preference.unsqueeze(0))[0]

    def weights_of(self, preferences: Tensor) -> list[dict[str, Tensor]]:
        """See `WeightSpace.weights_of`: one product for all preferences."""
        flat = (self.embedded(preferences).view(-1, len(self.head)) @ self.head).view(len(preferences), -1)
        plain: dict[str, Tensor] = dict(zip(self._names, listed(self.base), strict=True))
        thetas = []
        for row in flat.unbind():
            theta = dict(plain)
            parts = torch.split(row[: sum(self._sizes)], self._sizes)
            for name, scale, part in zip(self._trained, self._scales, parts, strict=True):
                # The base comes first: its memory order is that of the sum.
                theta[name] = torch.add(theta[name], part.view(theta[name].shape), alpha=scale)
            thetas.append(theta)
        return thetas

    def embedded(self, preferences: Tensor) -> Tensor:
        """The features of all pieces, (r, n·features)."""
        pieces, r = self.embeddings, len(preferences)
        at = preferences.to(pieces.device, pieces.dtype, non_blocking=True).repeat_interleave(len(pieces), dim=0)
        return cast(Tensor, self.features(torch.cat([at, pieces.repeat(r, 1)], dim=1))).view(r, -1)

    def named_storage(self) -> list[tuple[tuple[str, ...], Tensor]]:
        """See `WeightSpace.named_storage`: θ0 by its names, all else as `hypernetwork.…`."""
        own = {f"hypernetwork.{name}": p for name, p in self.named_parameters() if not name.startswith("base.")}
        base = {name: p for name, p in zip(self._names, self.base, strict=True) if p.requires_grad}
        return [((name,), p) for name, p in (base | own).items()]
