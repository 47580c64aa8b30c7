"""Discrete multi-point: one network for each of a few fixed preferences."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from moframework.config import config, option
from moframework.errors import SpecError
from moframework.objectives import Balancing, Objective
from moframework.objectives.linear import Linear
from moframework.preferences.grid import Grid
from moframework.solvers.base import Method, Solver
from moframework.weights.finite import Finite

__all__ = ["Multipoint"]


@config
class Multipoint(Solver):
    """K networks trained side by side, each on its own fixed preference; linear scalarization unless told otherwise.

    The plain way to a front, and the reference for the others: K times the parameters and the time of one network,
    and nothing between the K points. Each network sees every batch. The objective names the method:

    - each network alone: `linear`, `tchebycheff`, `smooth_tchebycheff` (Lin et al., ICML 2024), `pbi`, `epo` (Mahapatra
      and Rajan, ICML 2020), or any weighting of the tasks' gradients;
    - all networks together: `pareto_mtl` (Lin et al., NeurIPS 2019), `hypervolume_gradient` (Deist et al., EMO 2021),
      `moo_svgd` (Liu et al., NeurIPS 2021). These hold the gradients of all K at once.
    """

    continuous: ClassVar[bool] = False
    points: int = option(5, ge=1, help="number K of networks; their preferences are an even grid on the simplex")
    margin: float = option(0.0, ge=0, lt=0.3, help="how far the grid stays inside the border of the simplex")
    objective: Objective = option(factory=Linear, help="how losses and a preference become one scalar")
    balancing: tuple[Balancing, ...] = option(
        (), help="how losses of different size are put on one footing, in this order"
    )
    initial: Path | None = option(None, help="network to start from: a .safetensors or .pt state dict, or a run folder")

    def method(self, m: int) -> Method:
        """See `Solver.method`."""
        if 1 < self.points < m:
            raise SpecError(f"solver.points: {self.points} networks cannot cover {m} tasks; use 1, or at least {m}")
        grid = Grid(margin=self.margin, per_batch=self.points)
        anchors = grid.points(self.points, m)
        return Method(
            weights=Finite(anchors=tuple(tuple(float(v) for v in row) for row in anchors)),
            preferences=grid,
            objective=self.objective,
            balancing=self.balancing,
            initial=self.initial,
        )
