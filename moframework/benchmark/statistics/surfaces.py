"""Attainment surfaces of the contenders on one problem."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from moframework.benchmark.results import Group
from moframework.benchmark.statistics.found import Attainment, Surfaces
from moframework.pareto import hypervolume
from moframework.pareto.attainment import attainment_surface

__all__ = ["attainment"]

Array = NDArray[np.float64]

_MOST_TASKS = 3  # of the algorithm


def attainment(group: Group) -> Attainment | None:
    """Surfaces of the contenders that have two seeds or more; None where no contender has, or for one task."""
    rows = [row for row in group.rows if len(row.fronts) > 1]
    if not rows:
        return None
    tasks = rows[0].fronts[0].tasks
    if len(tasks) == 1:
        return None
    if len(tasks) > _MOST_TASKS:
        note = f"Attainment surfaces are computed for two or three tasks, and this problem has {len(tasks)}."
        return Attainment(problem=group.problem, tasks=tasks, rows=(), notes=(note,))
    alone = [row.solver for row in group.rows if len(row.fronts) == 1]
    notes = (f"Of one seed, and so without surfaces: {', '.join(alone)}.",) if alone else ()
    own = tuple(_surfaces(row.solver, [front.losses for front in row.fronts], group.reference) for row in rows)
    return Attainment(problem=group.problem, tasks=tasks, rows=own, notes=notes)


def _surfaces(solver: str, fronts: list[Array], reference: tuple[float, ...] | None) -> Surfaces:
    n = len(fronts)
    levels = tuple(dict.fromkeys((n, -(-n // 2), 1)))
    corners = tuple(attainment_surface(fronts, least) for least in levels)
    volumes = tuple(None if reference is None else hypervolume(found, reference) for found in corners)
    return Surfaces(solver=solver, fronts=tuple(fronts), levels=levels, corners=corners, hypervolumes=volumes)
