"""A finite set of networks, one for each of K fixed preferences: the weight space of discrete multi-point methods.

Each network has buffers of its own, too: running statistics, the vectors of `spectral_norm`, whatever else a forward
pass changes or a network starts with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.errors import SpecError
from moframework.weights.base import WeightSpace, WeightSpaceConfig
from moframework.weights.starting import listed, starting_values

__all__ = ["Finite", "FiniteSpace"]


@config
class Finite(WeightSpaceConfig):
    """K separate networks, one a preference, trained side by side; between the K preferences there is nothing.

    >>> options = Finite(anchors=((1.0, 0.0), (0.5, 0.5), (0.0, 1.0)))
    >>> space = options.build(lambda: nn.Linear(3, 2), m=2, initial=None)
    >>> at = {share: space.weights(torch.tensor([share, 1 - share]))["weight"] for share in (0.5, 0.6, 0.9)}
    >>> torch.equal(at[0.5], at[0.6]), torch.equal(at[0.6], at[0.9])  # that of the nearest preference
    (True, False)
    """

    anchors: tuple[tuple[float, ...], ...] = option(help="the K preferences, each m numbers on the simplex")

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """K networks made by `make`, initialized independently, or K copies of `initial`."""
        for anchor in self.anchors:
            if len(anchor) != m:
                raise SpecError(
                    f"weights.anchors: {list(anchor)} has {len(anchor)} numbers, but there are {m} objectives"
                )
        return FiniteSpace([make() for _ in self.anchors], torch.tensor(self.anchors, dtype=torch.float32), initial)


class FiniteSpace(WeightSpace):
    """θ(λ) = θ_k for the anchor k nearest to λ (Euclidean; the first of equals)."""

    group = "members"

    def __init__(self, networks: list[nn.Module], anchors: Tensor, initial: Mapping[str, Tensor] | None) -> None:
        super().__init__()
        members = [starting_values(network, initial) for network in networks]
        trained = {name: value.requires_grad for name, value in members[0].items()}
        self._names = [name for name in trained if trained[name]]
        self.members = nn.ModuleList(nn.ParameterList(member[name] for name in self._names) for member in members)
        # Frozen parameters are the same for all preferences: those of the first network.
        self._frozen = [name for name in trained if not trained[name]]
        self.frozen = nn.ParameterList(members[0][name] for name in self._frozen)
        self.buffers_of_members = nn.ModuleList(_Buffers(network, initial) for network in networks)
        # On the host: choosing a member must not wait for a device.
        self._anchors = anchors
        self.places: list[list[float]] = anchors.tolist()

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        """Parameters and buffers of the nearest anchor's network. The preference is read on the host."""
        nearest = self.nearest(preference.tolist())
        theta: dict[str, Tensor] = dict(zip(self._frozen, listed(self.frozen), strict=True))
        theta.update(zip(self._names, listed(cast(nn.ParameterList, self.members[nearest])), strict=True))
        theta.update(cast(_Buffers, self.buffers_of_members[nearest]).by_name())
        return theta

    def nearest(self, at: Sequence[float]) -> int:
        """The position of the anchor that is nearest to a preference."""
        # In Python, which for so few numbers is as fast, and no operation that a recording of a step would hold.
        distances = [sum((a - p) ** 2 for a, p in zip(anchor, at, strict=True)) for anchor in self.places]
        return distances.index(min(distances))

    def named_storage(self) -> list[tuple[tuple[str, ...], Tensor]]:
        """See `WeightSpace.named_storage`: all networks alike."""
        members = cast("Iterable[nn.ParameterList]", self.members)
        return [((name,), p) for member in members for name, p in zip(self._names, member, strict=True)]

    def anchors(self) -> Tensor:
        """The K preferences, (K, m)."""
        return self._anchors

    def stored_buffers(self) -> dict[str, str]:
        """The name of each stored buffer in this space's state dict, and what the network calls it. Files of earlier
        versions have one for all networks."""
        found: dict[str, str] = {}
        for k, member in enumerate(cast("Iterable[_Buffers]", self.buffers_of_members)):
            for name, place in member.places.items():
                if place not in member._non_persistent_buffers_set:
                    found[f"buffers_of_members.{k}.{place}"] = name
        return found


class _Buffers(nn.Module):
    """The buffers of one network, by names that may have dots; those that are one tensor there are one here.

    Args:
        network: whose buffers it takes over.
        initial: values in the place of some of them, or None.
    """

    def __init__(self, network: nn.Module, initial: Mapping[str, Tensor] | None) -> None:
        super().__init__()
        places: dict[int, str] = {}
        self.places: dict[str, str] = {}
        for prefix, module in network.named_modules():
            for key, value in module._buffers.items():
                if value is None:
                    continue
                name = f"{prefix}.{key}" if prefix else key
                if id(value) not in places:
                    places[id(value)] = str(len(places))
                    start = value if initial is None or name not in initial else initial[name].to(value)
                    persistent = key not in module._non_persistent_buffers_set
                    self.register_buffer(places[id(value)], start.detach().clone(), persistent)
                self.places[name] = places[id(value)]

    def by_name(self) -> dict[str, Tensor]:
        """The buffers as the network calls them."""
        return {name: cast(Tensor, self._buffers[place]) for name, place in self.places.items()}
