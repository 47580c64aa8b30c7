"""The contract of a solver: it states what it can do and assembles a `Method` from parts."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from moframework.config import Component
from moframework.engine.method import Method

__all__ = ["Method", "Solver"]


class Solver(Component, kind="solvers"):
    """A named assembly of weight space, preference schedule and objective.

    Capabilities are class data; the engine and the command line read them and never ask for a solver's name.
    """

    continuous: ClassVar[bool] = True
    """Whether one model answers every preference, rather than a finite set of them."""
    single_task: ClassVar[bool] = False
    """Whether its points at the vertices are networks for one task each: the reference of Δm."""
    min_objectives: ClassVar[int] = 2
    """The smallest number of objectives it makes sense for."""
    max_objectives: ClassVar[int | None] = None
    """The largest number of objectives it can handle, or None."""

    @abstractmethod
    def method(self, m: int) -> Method:
        """Assemble the parts for m objectives. Raises `SpecError` when the options do not fit m."""
