"""The contract of an objective."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from moframework.config import Component

__all__ = ["Objective"]


class Objective(Component, kind="objectives"):
    """A scalarization of r loss vectors under r preferences.

    `separable` says that the value is the mean over rows of a function of each row alone. The engine then runs backward
    preference by preference and holds one graph at a time.
    """

    separable: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, losses: Tensor, preferences: Tensor) -> Tensor:
        """The scalar to minimize.

        Args:
            losses: L (r, m), differentiable.
            preferences: Λ (r, m), rows on the simplex, same device.

        Returns:
            a scalar, normalized as a mean over the r rows, so that the step size does not depend on r.
        """
