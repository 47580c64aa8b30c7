"""The contract of a function that is evaluated at one point at a time, and may take long."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from moframework.config import Component, arguments, config
from moframework.config.signature import part_of_function

__all__ = ["ObjectiveFunction", "PlainFunction"]

Array = npt.NDArray[np.float64]


class ObjectiveFunction(Component, kind="functions"):
    """m objectives of n variables, all minimized: a simulation, an experiment, anything that gives numbers for a point.

    It may raise, or return numbers that are not finite: such an evaluation has failed, which is counted. A plain
    function of one point stands for it; its further parameters become options::

        def beam(x, *, load: float = 10.0):
            return [x[0] * x[1], load / x[0]]
    """

    of_function: ClassVar[type[ObjectiveFunction]]
    """Class data: the base of what `from_function` makes."""

    @property
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Least and largest value of each of the n variables, where the function knows them; None by default."""
        return None

    @property
    def objectives(self) -> int | None:
        """The number m of objectives, where the function knows it; None by default."""
        return None

    @abstractmethod
    def __call__(self, x: Array) -> npt.ArrayLike:
        """The m objectives at one point x (n,)."""

    @classmethod
    def from_function(cls, function: Callable[..., Any]) -> type[Component]:
        """An objective function around a plain one.

        Raises:
            MoframeworkError: it does not take a point first, or a further parameter cannot be an option.
        """
        made: type[Component] = part_of_function(function, cls.of_function, "an objective", ("a point",))
        return made


ObjectiveFunction.returns = np.ndarray


@config
class PlainFunction(ObjectiveFunction):
    """What a plain function of one point returns."""

    function: ClassVar[Callable[..., Any]]

    def __call__(self, x: Array) -> npt.ArrayLike:
        """See `ObjectiveFunction.__call__`."""
        found: npt.ArrayLike = type(self).function(x, **arguments(self))
        return found


ObjectiveFunction.of_function = PlainFunction
