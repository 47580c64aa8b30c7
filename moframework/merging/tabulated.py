"""Merged networks whose coefficients are a table over the simplex."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from moframework.config import config
from moframework.merging.members import Members
from moframework.merging.space import TaskVectors
from moframework.preferences.simplex import lattice
from moframework.weights import WeightSpace, WeightSpaceConfig

__all__ = ["Tabulated", "TabulatedSpace", "partitions_of"]

_FINEST, _MOST = 100, 1000  # partitions, and points of the lattice where there are more than m


@config
class Tabulated(WeightSpaceConfig):
    """Frozen task vectors, and for each point of a lattice on the simplex their coefficients, between which the
    coefficients are linear: `θ(λ) = θ_0 + Σ_t c_t(λ) τ_t`.

    The lattice has at most 100 partitions and 1,000 points, or 1 partition and m points where m is large. Pieces are
    those of Kuhn's triangulation. Until `fill` the coefficients are λ. m + 1 networks are held; nothing is trained.

    >>> space = Tabulated().build(lambda: nn.Linear(3, 2), m=2, initial=None)
    >>> space.coefficients(torch.tensor([0.25, 0.75]))  # until `fill`
    tensor([0.2500, 0.7500])
    """

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """The space around one network made by `make`, whose vectors are 0 until it is given members."""
        network = make()
        if initial is not None:
            network.load_state_dict(dict(initial), strict=False)
        return TabulatedSpace(network, m)


class TabulatedSpace(WeightSpace):
    """θ(λ) = θ_0 + Σ_t c_t(λ) τ_t.

    Attributes:
        points: the lattice, (n, m).
        table: coefficients at its points, (n, m).
    """

    points: Tensor
    places: Tensor

    def __init__(self, network: nn.Module, m: int) -> None:
        super().__init__()
        self.stored = TaskVectors(network, m)
        self.partitions = partitions_of(m)
        points, places = _ranked(m, self.partitions)
        self.register_buffer("points", points, persistent=False)
        self.register_buffer("places", places, persistent=False)
        self.table = nn.Parameter(points.clone(), requires_grad=False)
        self._direct = False

    def take(self, members: Members, heads: Sequence[Sequence[str]]) -> list[str]:
        """Take over members and heads; see `merging.start.TakesMembers`."""
        self.stored.take(members, heads)
        return []

    @contextmanager
    def by_coefficients(self) -> Iterator[None]:
        """While inside, what the space is given for a preference are coefficients c themselves, any m numbers."""
        self._direct = True
        try:
            yield
        finally:
            self._direct = False

    def coefficients(self, preference: Tensor) -> Tensor:
        """c(λ), (m,): between the m points of the lattice around λ."""
        rows, shares = self._around(preference.to(self.table))
        return shares @ self.table[rows]

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        """See `WeightSpace.weights`."""
        stored = self.stored
        c = preference.to(stored.vectors) if self._direct else self.coefficients(preference)
        return stored.named(stored.base + c @ stored.vectors)

    def _around(self, preference: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the points around λ, (m,), and the share of each, (m,).

        In the coordinates `x_k = p Σ_{i≤k} λ_i` points of the lattice are ascending whole numbers. From the one below x
        the entries go up by 1 in the order of their fractions, the largest first; of equal ones the last first.
        """
        x = self.partitions * preference[:-1].cumsum(dim=0)
        below = x.floor()
        fractions, flipped = (x - below).flip(0).sort(descending=True, stable=True)
        order = len(x) - 1 - flipped
        steps = torch.eye(len(x), dtype=x.dtype, device=x.device)[order].cumsum(dim=0)
        # A sum of λ that is 1 to rounding may lie one beyond the last point, with a share of about 0.
        corners = torch.cat([below.unsqueeze(0), below + steps]).clamp(max=self.partitions).long()
        bounds = torch.cat([fractions.new_ones(1), fractions, fractions.new_zeros(1)])
        rows = self.places[torch.arange(len(x), device=x.device), corners].sum(dim=1)
        return rows, bounds[:-1] - bounds[1:]


def partitions_of(m: int) -> int:
    """Partitions of the lattice for m tasks.

    >>> [partitions_of(m) for m in (2, 3, 8, 40, 100)]
    [100, 43, 5, 2, 1]
    """
    p = 1
    while p < _FINEST and math.comb(p + m, m - 1) <= _MOST:
        p += 1
    return p


def _ranked(m: int, p: int) -> tuple[Tensor, Tensor]:
    """The lattice in the order of its points' ranks, and what a coordinate x_k of a point adds to its rank, by k and
    x_k: ascending whole numbers x_k, made distinct by adding k, are counted as combinations are."""
    places = np.array([[math.comb(x + k, k + 1) for x in range(p + 1)] for k in range(m - 1)], dtype=np.int64)
    points = lattice(m, p).numpy()
    whole = np.rint(points * p).astype(np.int64).cumsum(axis=1)[:, :-1]
    order = places[np.arange(m - 1), whole].sum(axis=1).argsort()
    return torch.from_numpy(points[order]).float(), torch.from_numpy(places.reshape(m - 1, p + 1))
