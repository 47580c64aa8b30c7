"""Single-task learning: one network a task, the ideal that multi-task networks are measured against."""

from __future__ import annotations

from moframework.config import config
from moframework.preferences.grid import Grid
from moframework.solvers.base import Solver
from moframework.weights import WeightSpaceConfig
from moframework.weights.finite import Finite

__all__ = ["SingleTask"]


@config
class SingleTask(Solver):
    """One network for each task, trained on its loss alone.

    Of the point at vertex t of the simplex only task t means anything: parts of the network that no other task shares,
    such as heads, stay untrained for the others. Δm, the mean relative difference to single-task learning, refers to
    these m numbers; the hypervolume of the m points is not of interest. Costs m times the parameters and the time of
    one network.

    Its networks are also the members that `soup` and other solvers merge, where they start from one::

        solver: {name: stl, initial: base.safetensors}
    """

    continuous = False
    single_task = True
    min_objectives = 1
    shared_options = ("initial",)

    def schedule(self, m: int) -> Grid:
        """The m vertices of the simplex at each step."""
        return Grid(per_batch=m)

    def weight_space(self, m: int) -> WeightSpaceConfig:
        """A network for each vertex."""
        return Finite(anchors=tuple(map(tuple, self.schedule(m).points(m, m).tolist())))
