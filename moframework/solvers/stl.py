"""Single-task learning: one network a task, the ideal that multi-task networks are measured against."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from moframework.config import config, option
from moframework.objectives.linear import Linear
from moframework.preferences.grid import Grid
from moframework.solvers.base import Method, Solver
from moframework.weights.finite import Finite

__all__ = ["SingleTask"]


@config
class SingleTask(Solver):
    """One network for each task, trained on its loss alone.

    Of the point at vertex t of the simplex only task t means anything: parts of the network that no other task shares,
    such as heads, stay untrained for the others. Δm, the mean relative difference to single-task learning, refers to
    these m numbers; the hypervolume of the m points is not of interest. Costs m times the parameters and the time of
    one network.
    """

    continuous: ClassVar[bool] = False
    single_task: ClassVar[bool] = True
    min_objectives: ClassVar[int] = 1
    initial: Path | None = option(None, help="network to start from: a .safetensors or .pt state dict, or a run folder")

    def method(self, m: int) -> Method:
        """See `Solver.method`."""
        vertices = Grid(per_batch=m)
        return Method(
            weights=Finite(anchors=tuple(tuple(float(v) for v in row) for row in vertices.points(m, m))),
            preferences=vertices,
            objective=Linear(),
            initial=self.initial,
        )
