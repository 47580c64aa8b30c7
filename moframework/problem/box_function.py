"""A problem as a function of variables in a box: what is searched, rather than trained on data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from attrs import frozen

__all__ = ["BoxFunction"]

Array = npt.NDArray[np.float64]


@frozen(kw_only=True)
class BoxFunction:
    """m objectives of n variables, each between a lower and an upper bound; all are minimized.

    Attributes:
        lower, upper: the bounds, n numbers each.
        objectives: m.
        values: one point (n,) in its own units to the m objectives there; may take long, and raise anything.
        differentiable: whether the objectives have gradients, so that solvers may follow these instead.

    Example:
        >>> line = BoxFunction(lower=(0.0,), upper=(4.0,), objectives=2, values=lambda x: [x[0], 4 - x[0]])
        >>> line.from_unit(np.array([[0.25]])).tolist(), line.to_unit(np.array([[1.0]])).tolist()
        ([[1.0]], [[0.25]])
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]
    objectives: int
    values: Callable[[Array], npt.ArrayLike]
    differentiable: bool = True

    @property
    def variables(self) -> int:
        """n."""
        return len(self.lower)

    def from_unit(self, u: Array) -> Array:
        """Points (k, n) of the unit cube in the units of the variables; never beyond the bounds."""
        lower, upper = np.array(self.lower), np.array(self.upper)
        found: Array = np.clip(lower + u * (upper - lower), lower, upper)
        return found

    def to_unit(self, x: Array) -> Array:
        """Points (k, n) in the units of the variables as points of the unit cube."""
        lower, upper = np.array(self.lower), np.array(self.upper)
        found: Array = (x - lower) / (upper - lower)
        return found
