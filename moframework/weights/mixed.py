"""A mixing matrix between the preference and what a weight space combines.

    θ(λ) = θ'(M λ),     M = (Pᵀ)⁻¹

P has a row for each member, the preference p_t at which this member alone is the answer: M p_t = e_t.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.errors import SpecError
from moframework.weights.base import WeightSpace, WeightSpaceConfig
from moframework.weights.remapped import RemappedSpace

__all__ = ["Mixed", "inverse_mixing"]

_WORST = 1e6  # condition number beyond which rows depend on each other


@config
class Mixed(WeightSpaceConfig):
    """Another weight space whose members stand for other preferences than the vertices, as in Bone Soup (Xie et al.,
    2025, arXiv 2502.10762), whose members are trained at the rows of a circulant matrix.

    With members, or adapters, that are combined with coefficients c, c is λ no longer but `(Pᵀ)⁻¹ λ`, P the rows of
    `trained_at`. Its entries sum to 1, too, and are negative where λ lies outside of the hull of the rows. Limits: of
    accelerations, only those apply that need not know the space; no parameters in shards.

    >>> from moframework.weights.convex_hull import ConvexHull
    >>> options = Mixed(space=ConvexHull(), trained_at=((0.75, 0.25), (0.25, 0.75)))
    >>> space = options.build(lambda: nn.Linear(3, 2), m=2, initial=None)
    >>> member = space.space.weights(torch.tensor([1.0, 0.0]))["weight"]
    >>> torch.allclose(space.weights(torch.tensor([0.75, 0.25]))["weight"], member)
    True
    """

    space: WeightSpaceConfig = option(help="the space that combines, such as convex_hull or low_rank")
    trained_at: tuple[tuple[float, ...], ...] = option(help="the preference that each member stands for, m rows of m")

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """The other space, behind the matrix. Raises `SpecError` as `inverse_mixing`."""
        mixing = inverse_mixing(self.trained_at, m)
        assert mixing is not None, "there are rows"
        return RemappedSpace(self.space.build(make, m, initial), mixing.T)


def inverse_mixing(trained_at: Sequence[Sequence[float]] | None, m: int) -> Tensor | None:
    """The matrix from a preference λ to weights c of members that were trained at the rows p_t of P: Pᵀ c = λ, so that
    the member of p_t alone answers λ = p_t (Bone Soup, arXiv 2502.10762). Weights are negative outside of their hull.
    Rows are scaled to sum to 1.

    >>> inverse_mixing([[0.75, 0.25], [0.25, 0.75]], 2) @ torch.tensor([0.75, 0.25])
    tensor([1., 0.])

    Raises:
        SpecError: not m rows of m non-negative numbers that are not all 0, or they depend on each other.
    """
    if trained_at is None:
        return None
    rows = [[float(value) for value in row] for row in trained_at]
    wrong = "" if len(rows) == m else f"there are {len(rows)} rows"
    for place, row in enumerate(rows):
        if len(row) != m or not min(row) >= 0 or not 0 < sum(row) < math.inf:
            wrong = wrong or f"row {place + 1} is {row}"
    if wrong:
        raise SpecError(
            f"solver.trained_at: needs {m} rows of {m} non-negative numbers that are not all 0, the preference of each "
            f"member, but {wrong}"
        )
    matrix = np.array(rows, dtype=np.float64)
    matrix = matrix / matrix.sum(axis=1, keepdims=True)
    if not np.linalg.cond(matrix) <= _WORST:
        raise SpecError(
            "solver.trained_at: the preferences of the members depend on each other, so they span no front: no row may "
            "be a mixture of others; [[0.7, 0.3], [0.3, 0.7]] is an example"
        )
    return torch.from_numpy(np.linalg.inv(matrix.T)).float()
