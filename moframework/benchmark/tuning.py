"""The choice from the grid: which values a contender uses for all seeds, and why."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from attrs import frozen

from moframework.benchmark.cells import Cell, State
from moframework.benchmark.measures import common_reference, volume
from moframework.benchmark.spec import Tuning
from moframework.errors import SpecError

__all__ = ["Trial", "Tuned", "candidates", "choose"]


@frozen(kw_only=True)
class Trial:
    """One point of the grid, tried."""

    choice: Mapping[str, Any]
    hypervolume: float | None
    """On validation; None unless it is done."""
    state: State
    message: str | None
    """Why it failed."""


@frozen(kw_only=True)
class Tuned:
    """What tuning found for one contender on one problem."""

    trials: tuple[Trial, ...]
    choice: Mapping[str, Any] | None
    """The values for all seeds; None while the grid is not finished, or when all of it failed."""
    at_edge: tuple[str, ...]
    """Keys whose chosen value is the smallest or largest number tried: a wider grid might do better."""


def candidates(tuning: Tuning | None) -> tuple[dict[str, Any], ...]:
    """Every combination of the grid's values; one empty choice when nothing is tuned.

    >>> candidates(Tuning(grid={"training.optimizer.lr": [0.1, 0.2], "solver.rank": [1]}))[1]
    {'training.optimizer.lr': 0.2, 'solver.rank': 1}
    """
    grid = {} if tuning is None else tuning.grid
    return tuple(dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))


def choose(tuning: Tuning, cells: Sequence[Cell]) -> Tuned:
    """Choose from the trials of one contender on one problem.

    Args:
        tuning: the grid.
        cells: one for each of `candidates(tuning)`, in that order, in whatever state.

    Raises:
        SpecError: the fronts have no hypervolume called `tuning.by`.
    """
    fronts = {index: one.front("val") for index, one in enumerate(cells) if one.state == "done"}
    reference = common_reference(list(fronts.values()))
    values: list[float | None] = [None] * len(cells)
    for index, front in fronts.items():
        values[index] = volume(front, tuning.by, reference)
        if values[index] is None:
            have = ", ".join(front.hypervolumes()) or "none"
            raise SpecError(f"tune.by: {cells[index].problem} has no hypervolume '{tuning.by}'; it has: {have}")
    trials = tuple(
        Trial(choice=one.choice, hypervolume=value, state=one.state, message=one.message)
        for one, value in zip(cells, values, strict=True)
    )
    if not fronts or not all(trial.state in ("done", "failed") for trial in trials):
        return Tuned(trials=trials, choice=None, at_edge=())
    best = int(np.argmax([-np.inf if value is None else value for value in values]))
    choice = cells[best].choice
    edge = tuple(key for key, tried in tuning.grid.items() if _at_edge(choice[key], tried))
    return Tuned(trials=trials, choice=choice, at_edge=edge)


def _at_edge(value: Any, tried: Sequence[Any]) -> bool:
    numbers = [one for one in tried if isinstance(one, int | float) and not isinstance(one, bool)]
    return len(set(numbers)) == len(tried) > 1 and value in (min(numbers), max(numbers))
