"""Whether the bounds that a solver was given hold on its fronts, in a sentence each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from moframework.data import Split
from moframework.objectives.constrained import Bound, read_bounds
from moframework.pareto.front import Front

__all__ = ["constraint_notes"]


def constraint_notes(constraints: Mapping[str, str], fronts: Mapping[Split, Front]) -> list[str]:
    """For each bound at how many evaluated preferences it holds, on each split, and where it is missed most.

    Args:
        constraints: as of `Solver.constraints`.
        fronts: by split, of the same tasks.
    """
    tasks = next(iter(fronts.values())).tasks
    return [_note(bound, tasks[bound.task], fronts) for bound in read_bounds(constraints, tasks)]


def _note(bound: Bound, task: str, fronts: Mapping[Split, Front]) -> str:
    told = f"{task}/loss {'<=' if bound.sign > 0 else '>='} {bound.value:g}"
    found = []
    for split, front in fronts.items():
        over = bound.sign * (front.losses[:, bound.task] - bound.value)
        held, worst = int((over <= 0).sum()), int(np.argmax(over))
        text = f"at {held} of {len(over)} preferences on {split}"
        if held < len(over):
            where = ", ".join(f"{weight:.3g}" for weight in front.preferences[worst])
            text += f" (missed most at λ = ({where}), where it is {front.losses[worst, bound.task]:.4g})"
        found.append(text)
    return f"The constraint {told} holds {' and '.join(found)}."
