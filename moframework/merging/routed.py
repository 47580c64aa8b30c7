"""Merged networks whose coefficients are learned: small routers of the preference, one for each group of parameters."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.merging.members import Members
from moframework.merging.space import TaskVectors
from moframework.weights import WeightSpace, WeightSpaceConfig

__all__ = ["Routed", "RoutedSpace", "groups_of"]

_DEVIATION = 0.01
"""Of the routers' initial weights, as published."""


@config
class Routed(WeightSpaceConfig):
    """Frozen task vectors with a trained router for each group of parameters (PWEMoE, arXiv 2406.09770).

    `θ_l(λ) = θ0_l + Σ_t g_l(λ)_t τ_{l,t}`; g_l is a network of λ with m inputs and outputs, one layer or two with 2m
    hidden units, whose last bias starts at `start` and whose weights start at normal numbers of deviation .01. So at
    first it is task arithmetic with that coefficient, the same at every λ but for the noise. m + 1 networks are held;
    m² + m numbers a group are trained, or 4m² + 3m with two layers.

    >>> space = Routed(start=0.3).build(lambda: nn.Linear(3, 2), m=2, initial=None)
    >>> space.coefficients(torch.tensor([0.5, 0.5])).detach().round(decimals=1)  # of weight and bias
    tensor([[0.3000, 0.3000],
            [0.3000, 0.3000]])
    """

    groups: Literal["block", "layer", "all"] = option(
        "layer",
        help="parameters that have one router: layer: those of one module; block: of one module at the second level "
        "of names, such as encoder.conv1 with all inside; all: the whole network",
    )
    layers: Literal[1, 2] = option(1, help="layers of a router")
    start: float = option(0.3, help="coefficient of every task vector at the start")

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """The space around one network made by `make`, whose vectors are 0 until it is given members."""
        network = make()
        if initial is not None:
            network.load_state_dict(dict(initial), strict=False)
        return RoutedSpace(network, m, self)


class RoutedSpace(WeightSpace):
    """θ_l(λ) = θ0_l + Σ_t g_l(λ)_t τ_{l,t}, with all routers as one batch of small products."""

    group = "routers"

    def __init__(self, network: nn.Module, m: int, options: Routed) -> None:
        super().__init__()
        self.stored = TaskVectors(network, m)
        self.named_groups = groups_of(self.stored.names, options.groups)
        order = list(dict.fromkeys(self.named_groups))
        count, hidden = len(order), 2 * m
        widths = [m, m] if options.layers == 1 else [m, hidden, m]
        self.weight = nn.ParameterList()
        self.bias = nn.ParameterList()
        for place, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            last = place == len(widths) - 2
            self.weight.append(nn.Parameter(_DEVIATION * torch.randn(count, outputs, inputs)))
            self.bias.append(nn.Parameter(torch.full((count, outputs), options.start if last else 0.0)))
        # Which group each parameter of the network is in, and how many numbers stand one after the other in one.
        self.runs = _runs([order.index(name) for name in self.named_groups], self.stored.sizes)

    def take(self, members: Members, heads: Sequence[Sequence[str]]) -> list[str]:
        """Take over members and heads; see `merging.start.TakesMembers`."""
        self.stored.take(members, heads)
        return [f"{len(self.bias[0])} routers: {', '.join(dict.fromkeys(self.named_groups))}"]

    def coefficients(self, preference: Tensor) -> Tensor:
        """What each group's task vectors are multiplied by at λ, (groups, m)."""
        hidden = preference.to(self.weight[0]).expand(len(self.weight[0]), -1)
        for place, (weight, bias) in enumerate(zip(self.weight, self.bias, strict=True)):
            hidden = torch.baddbmm(bias.unsqueeze(2), weight, hidden.unsqueeze(2)).squeeze(2)
            hidden = hidden if place == len(self.weight) - 1 else hidden.relu()
        return hidden

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        """See `WeightSpace.weights`: one product for each run of parameters of one group."""
        stored, coefficients = self.stored, self.coefficients(preference)
        parts = torch.split(stored.vectors, [size for _, size in self.runs], dim=1)
        merged = [coefficients[group] @ part for (group, _), part in zip(self.runs, parts, strict=True)]
        return stored.named(stored.base + torch.cat(merged))


def groups_of(names: Sequence[str], by: Literal["block", "layer", "all"]) -> list[str]:
    """What group each parameter is in, by name.

    >>> groups_of(["encoder.conv1.weight", "encoder.conv1.bias", "heads.a.0.weight", "scale"], "layer")
    ['encoder.conv1', 'encoder.conv1', 'heads.a.0', 'scale']
    >>> groups_of(["encoder.conv1.weight", "heads.a.0.weight", "scale"], "block")
    ['encoder.conv1', 'heads.a', 'scale']
    """
    if by == "all":
        return ["all"] * len(names)
    modules = [name.rpartition(".")[0] or name for name in names]
    return modules if by == "layer" else [".".join(module.split(".")[:2]) for module in modules]


def _runs(groups: Sequence[int], sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Groups with the number of entries that follow each other in each."""
    found: list[tuple[int, int]] = []
    for group, size in zip(groups, sizes, strict=True):
        if found and found[-1][0] == group:
            found[-1] = group, found[-1][1] + size
        else:
            found.append((group, size))
    return found
