"""Analytic problems: m functions of one vector, with what is known of their Pareto front. Ground truth for solvers."""

from __future__ import annotations

import functools
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moframework.backbones.base import Backbone
from moframework.backbones.decision_vector import DecisionVector
from moframework.config import config, option
from moframework.data import Split, TensorData, check_split
from moframework.losses import MeanLoss
from moframework.preferences.simplex import lattice, spread
from moframework.problem.base import Problem
from moframework.problem.box_function import BoxFunction
from moframework.problem.task import Task

__all__ = ["AnalyticProblem", "FunctionValue", "simplex_points"]

_OUTPUT = "x"
_TRUE_FRONT_POINTS = 500


@config
class AnalyticProblem(Problem):
    """m differentiable functions f_1, …, f_m of a vector x of n variables, all minimized; nothing is learned from data.

    The network is the vector itself (`decision_vector`): a solver's weights θ(λ) are the variables, so a front that a
    solver finds can be held against the true one. Each split is one sample, a constant 1, and all splits are alike. An
    epoch is then one step, after which losses are read, a front is validated and a checkpoint is written; with copies
    of the sample in the training split an epoch is longer, and a batch can be `split` among preferences::

        problem: {name: zdt2, copies: 100}
        training: {epochs: 20, batch_size: 1, optimizer: {name: adam, lr: 0.02}}      # 2000 steps

    A problem fills in `n`, `m` and `evaluate`; `reference`, `bounds`, `front`, `nadir` and `volume` where they are
    known.
    """

    differentiable: ClassVar[bool] = True
    """Class data: whether `evaluate` has gradients. A problem whose functions have none can only be searched."""

    form: Literal["vector", "linear"] = option(
        "vector",
        help="the network: vector (a bare parameter), or linear (a linear layer applied to a constant, for solvers "
        "that adapt layers or join the preference to the input)",
    )
    spread: float = option(
        1.0,
        ge=0,
        help="factor of the start, whose entries are standard normal before a sigmoid maps them into the box; a small "
        "one is near its middle, for functions that are flat elsewhere",
    )
    copies: int = option(
        1,
        ge=1,
        le=1_000_000,
        help="identical samples in the training split: the steps of an epoch at training.batch_size 1",
    )

    @property
    @abstractmethod
    def n(self) -> int:
        """Number of variables."""

    @property
    @abstractmethod
    def m(self) -> int:
        """Number of functions."""

    @abstractmethod
    def evaluate(self, x: Tensor) -> Tensor:
        """The functions at points x (b, n) of the box: (b, m), differentiable, in the dtype of x.

        Gradients must be finite in the whole box, its border included: a square root needs a guard at 0.
        """

    @property
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Least and largest value of each variable, one for all or n each; None when x may be anything."""
        return None

    def front(self, points: int) -> npt.NDArray[np.float64] | None:
        """About `points` points, well spread, of the true front, (k, m); None when it is not known."""
        return None

    @property
    def nadir(self) -> tuple[float, ...] | None:
        """The largest value of each function along the true front; None when it is not known."""
        return None

    def volume(self, reference: Sequence[float]) -> float | None:
        """The hypervolume of the whole true front below a reference point no less than the nadir; None when there is no
        formula."""
        return None

    @final
    def hypervolume(self, reference: Sequence[float] | None = None) -> float | None:
        """See `Problem.hypervolume`.

        Args:
            reference: m numbers, none below the nadir; None for the problem's own.

        Raises:
            ValueError: no reference point, not m numbers, or one below the nadir, where the formula does not hold.
        """
        corner = self.reference if reference is None else tuple(float(value) for value in reference)
        nadir = self.nadir
        if nadir is None:
            return None
        if corner is None or len(corner) != self.m or any(r < w for r, w in zip(corner, nadir, strict=True)):
            raise ValueError(f"the reference needs {self.m} numbers, none below the nadir {nadir}, but it is {corner}")
        return self.volume(corner)

    @final
    @property
    def tasks(self) -> tuple[Task, ...]:
        """`f1`, …, `fm`: the functions, all of the one output `x`."""
        return tuple(
            Task(
                name=f"f{t + 1}",
                loss=FunctionValue(problem=self, index=t),
                output=_OUTPUT,
                target=_OUTPUT,
                size=self.n,
            )
            for t in range(self.m)
        )

    @final
    @property
    def network(self) -> Backbone:
        """The vector of variables, kept inside the bounds."""
        lower, upper = (None, None) if self.bounds is None else self.bounds
        return DecisionVector(form=self.form, lower=lower, upper=upper, spread=self.spread)

    @final
    @property
    def box_function(self) -> BoxFunction | None:
        """These functions and the bounds; None where there are none."""
        if self.bounds is None:
            return None
        lower, upper = (tuple(bound) * (self.n // len(bound)) for bound in self.bounds)
        return BoxFunction(
            lower=lower,
            upper=upper,
            objectives=self.m,
            values=lambda x: self.evaluate(torch.from_numpy(np.array([x], dtype=np.float64)))[0].numpy(),
            differentiable=self.differentiable,
        )

    @final
    @property
    def input_shape(self) -> tuple[int, ...]:
        """(1,)."""
        return (1,)

    @final
    def data(self, split: Split) -> TensorData:
        """One sample, in the training split `copies` of it: the input 1, and a target that no function reads."""
        count = self.copies if check_split(split) == "train" else 1
        return TensorData(torch.ones(count, 1), {_OUTPUT: torch.zeros(count)})

    @final
    @property
    def true_front(self) -> npt.NDArray[np.float64] | None:
        """About 500 points of the true front."""
        return _true_front(self)


@functools.lru_cache(maxsize=64)
def _true_front(problem: AnalyticProblem) -> npt.NDArray[np.float64] | None:
    """Kept, since every evaluation asks."""
    front = problem.front(_TRUE_FRONT_POINTS)
    if front is not None:
        front.setflags(write=False)
    return front


@config
class FunctionValue(MeanLoss):
    """The value of one function of an analytic problem at the vector that the network returns."""

    problem: AnalyticProblem = option(help="the analytic problem")
    index: int = option(ge=0, help="which of its functions, from 0")

    def values(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """f(x) of each row of `output` (b, n); the target is not read."""
        return self.problem.evaluate(output)[:, self.index], None


def simplex_points(points: int, m: int) -> npt.NDArray[np.float64]:
    """About `points` well-spread points on the simplex of m entries, (k, m), for sampling a front.

    For two entries even steps. Beyond, the finest Das–Dennis lattice with at most so many points where it has points
    enough inside, else `preferences.simplex.spread`.

    >>> simplex_points(3, 2).tolist()
    [[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]
    """
    if m == 1:
        return np.ones((1, 1))
    partitions = 1
    while math.comb(partitions + m, m - 1) <= points:
        partitions += 1
    chosen = lattice(m, partitions) if m == 2 or partitions >= 2 * m else spread(max(points, m), m)
    return chosen.numpy()
