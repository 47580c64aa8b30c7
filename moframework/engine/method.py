"""`Method`: the parts that training is made of, whatever the name of the solver that chose them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from attrs import frozen
from torch import Generator, Tensor

from moframework.blackbox import Search
from moframework.config import Trust
from moframework.data import Dataset
from moframework.errors import BrokenPartError, SpecError
from moframework.losses import Loss
from moframework.model import ParetoModel
from moframework.objectives import Balancing, Objective, Scalarization
from moframework.preferences import Schedule
from moframework.problem import Problem
from moframework.weights import WeightSpaceConfig

__all__ = ["Method", "Start"]


class Start(Protocol):
    """What gives a model its weights before a training, or in the place of one."""

    def __call__(self, model: ParetoModel, problem: Problem, data: Dataset, trust: Trust) -> Sequence[str]:
        """Change a model on the host; `data` is the training split, and torch's random numbers are those of the seed.
        Returns what is to be told, a sentence each."""


@frozen(kw_only=True)
class Method:
    """A map from preferences to weights, a way to draw preferences, a way to turn losses into one scalar.

    Attributes:
        weights: options of the weight space.
        preferences: the schedule; its `per_batch` and `batch` say how many preferences a step uses, and whether each
            sees the whole batch.
        objective: losses and preferences, or the tasks' gradients, to a direction of descent.
        balancing: applied in order; each sees losses and gradient norms already scaled by those before it.
        initial: a checkpoint whose parameters the network starts from, or None.
        start: what else gives the model its weights, or None.
        trains: False where that is all, and no step is taken.
        loss: what training minimizes of each task's output in the place of its own loss, or None. Evaluation has the
            tasks' own.
        search: what evaluates a function without gradients in the place of a training, or None.

    >>> from moframework.objectives.tchebycheff import Tchebycheff
    >>> from moframework.preferences.dirichlet import Dirichlet
    >>> from moframework.weights.convex_hull import ConvexHull
    >>> objective = Tchebycheff(ideal=(0, 0, 0))
    >>> method = Method(weights=ConvexHull(), preferences=Dirichlet(per_batch=4), objective=objective)
    >>> method.check(m=3)
    >>> method.check(m=2)
    Traceback (most recent call last):
    moframework.errors.SpecError: solver.objective: ideal: has 3 numbers; the problem has 2 tasks
    """

    weights: WeightSpaceConfig
    preferences: Schedule
    objective: Objective
    balancing: tuple[Balancing, ...] = ()
    initial: Path | None = None
    start: Start | None = None
    trains: bool = True
    loss: Loss | None = None
    search: Search | None = None

    @property
    def needs_task_gradients(self) -> bool:
        """Whether objective or balancings need the gradient of each task's loss by itself."""
        return not isinstance(self.objective, Scalarization) or any(each.needs_gradients for each in self.balancing)

    def check(self, m: int) -> None:
        """Refuse parts that do not fit m objectives, or packages that are missing.

        Raises:
            SpecError: listing all that is wrong, a line each.
            BrokenPartError: what the schedule draws is no preferences.
        """
        count = self.preferences.count(m)
        faults = [f"solver.objective: {fault}" for fault in self.objective.faults(m, count)]
        try:
            draws = [(progress, self.preferences.draw(progress, count, m, Generator())) for progress in _LOOKED_AT]
        except ValueError as error:
            faults.append(f"solver.preferences: {error}")
        if faults:
            raise SpecError("\n".join(faults))
        for progress, drawn in draws:
            if not _are_preferences(drawn, count, m):
                raise BrokenPartError(
                    f"solver.preferences: draw() of {type(self.preferences).__name__} gives at progress {progress:g} "
                    f"{_told(drawn)}, not {count} preferences of {m} tasks, each of non-negative numbers that sum to 1"
                )


_LOOKED_AT = (1.0, 1e-4, 0.25, 0.5, 0.75)
"""Shares of a training at which a schedule is asked for preferences before it begins."""


def _are_preferences(drawn: Tensor, count: int, m: int) -> bool:
    on_simplex = (drawn >= 0).all(dim=-1) & ((drawn.sum(dim=-1) - 1).abs() < 1e-4)
    return drawn.shape == (count, m) and bool(on_simplex.all())


def _told(drawn: Tensor) -> str:
    rows = f"{drawn[0].tolist()}, … in " if drawn.dim() == 2 and len(drawn) else ""
    return f"{rows}the shape {tuple(drawn.shape)}"
