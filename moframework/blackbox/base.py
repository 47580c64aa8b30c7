"""The contract of a search: points to evaluate next, and in the end a model that answers preferences."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from attrs import frozen

from moframework.blackbox.evaluations import Evaluations
from moframework.model import ParetoModel, Recipe
from moframework.problem import BoxFunction
from moframework.seeding import derive_seed

__all__ = ["Budget", "Request", "Search", "latin_hypercube"]

Array = npt.NDArray[np.float64]

_POINTS, _WEIGHTS = 1, 2  # purposes of random numbers


@frozen(kw_only=True)
class Budget:
    """How a search spends evaluations.

    Attributes:
        evaluations: in all.
        initial: of them, the first, which a Latin hypercube spreads over the box.
        batch: proposed at a time after these.
        failures: that it puts up with.
    """

    evaluations: int
    initial: int
    batch: int
    failures: int


@frozen(kw_only=True)
class Request:
    """What a search is asked at one time. Its answer is a pure function of it, so that a search that was killed goes on
    as if it had not been.

    Attributes:
        function: what is searched, with its bounds.
        known: all evaluations so far; failed ones are not in its `x` and `values`.
        count: how many points are wanted.
        batch: their number, from 0; that of the model of the end is one more than the last.
        seed: of the run.
        reference: reference point of the hypervolume.
        recipe: what the model of the run is made of.
        make: a model of a recipe with fresh weights.
    """

    function: BoxFunction
    known: Evaluations
    count: int
    batch: int
    seed: int
    reference: tuple[float, ...]
    recipe: Recipe
    make: Callable[[Recipe], ParetoModel]

    @property
    def unit(self) -> Array:
        """The evaluated points (k, n) in the unit cube."""
        return self.function.to_unit(self.known.x)

    def seed_of(self, purpose: int) -> int:
        """A seed for one purpose of this batch, below 2**32."""
        return derive_seed(self.seed, purpose, self.batch) % 2**32

    def generator(self) -> np.random.Generator:
        """Random numbers of this batch's points."""
        return np.random.default_rng(self.seed_of(_POINTS))

    def weights_seed(self) -> int:
        """The seed of this batch's model."""
        return self.seed_of(_WEIGHTS)


class Search(ABC):
    """A way to choose points. What it is made of is frozen: whatever changes is in the request."""

    budget: Budget

    @abstractmethod
    def propose(self, request: Request) -> Array:
        """`count` points of the unit cube, (count, n), to evaluate next.

        At least two evaluations have succeeded.
        """

    @abstractmethod
    def model(self, request: Request, rows: npt.NDArray[np.int64], preferences: Array) -> ParetoModel:
        """The model of the finished search, whose network at λ returns a point x in its own units.

        Args:
            rows: of `known`, its non-dominated evaluations (k,).
            preferences: theirs, (k, m): see `placing.preferences_of`.
        """


def latin_hypercube(count: int, n: int, generator: np.random.Generator) -> Array:
    """`count` points (count, n) of the unit cube, one in each of `count` even slices of every variable (McKay, Beckman,
    Conover, Technometrics 21(2), 1979).

    >>> sorted((latin_hypercube(4, 1, np.random.default_rng(0))[:, 0] * 4).astype(int).tolist())
    [0, 1, 2, 3]
    """
    slices = np.stack([generator.permutation(count) for _ in range(n)], axis=1)
    found: Array = (slices + generator.random((count, n))) / count
    return found
