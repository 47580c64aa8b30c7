"""Discrete multi-point: one network for each of a few fixed preferences."""

from __future__ import annotations

from moframework.config import config, option
from moframework.errors import SpecError
from moframework.preferences.grid import Grid
from moframework.solvers.base import Solver
from moframework.weights import WeightSpaceConfig
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

    Ten networks that reach a concave front too::

        solver: {name: multipoint, points: 10, objective: {name: smooth_tchebycheff, mu: 0.01}}
    """

    continuous = False
    shared_options = ("objective", "balancing", "initial")
    points: int = option(
        5, ge=1, le=100, help="number K of networks; their preferences are an even grid on the simplex"
    )
    margin: float = option(0.0, ge=0, lt=0.3, help="how far the grid stays inside the border of the simplex")

    def schedule(self, m: int) -> Grid:
        """All K points of the grid at each step."""
        return Grid(margin=self.margin, per_batch=self.points)

    def weight_space(self, m: int) -> WeightSpaceConfig:
        """A network for each point of the grid."""
        if 1 < self.points < m:
            raise SpecError(f"solver.points: {self.points} networks cannot cover {m} tasks; use 1, or at least {m}")
        return Finite(anchors=tuple(map(tuple, self.schedule(m).points(self.points, m).tolist())))
