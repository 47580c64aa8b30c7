"""The ray in the space of losses that a preference asks for."""

from __future__ import annotations

import torch
from torch import Tensor

from moframework.pareto.indicators import LEAST_ON_RAY, Direction

__all__ = ["Direction", "rays"]


def rays(preferences: Tensor, direction: Direction) -> Tensor:
    """Unit vectors (r, m) in the space of losses, one a preference.

    Methods that draw losses to a ray differ in what they call a preference. `inverse`: the ray is 1/λ_t, on which all
    λ_t L_t are equal, so that a larger λ_t means a smaller loss, as everywhere in this framework. `preference`: the
    ray is λ itself, as MOEA/D, Pareto MTL, COSMOS and PHN-HVI write, so that a larger λ_t means a larger loss.

    Args:
        preferences: Λ (r, m), rows on the simplex.
        direction: which of the two.
    """
    ends = preferences if direction == "preference" else 1 / preferences.clamp_min(LEAST_ON_RAY)
    lengths: Tensor = torch.linalg.vector_norm(ends, dim=1, keepdim=True)
    return ends / lengths
