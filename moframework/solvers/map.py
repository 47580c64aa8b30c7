"""MAP: the front of mixtures of members, from quadratic surrogates of their losses."""

from __future__ import annotations

from typing import ClassVar, Literal

from moframework.config import config, option
from moframework.engine.method import Start
from moframework.merging.map import MAPStart
from moframework.merging.quadratic import Link, Search
from moframework.merging.scalarized import Kind
from moframework.merging.tabulated import Tabulated
from moframework.solvers.on_members import OnMembers
from moframework.weights import WeightSpaceConfig

__all__ = ["MAP"]


@config
class MAP(OnMembers):
    """Coefficients of task vectors that a genetic search finds on quadratic fits of the losses; nothing is trained.

    `θ(c) = θ_0 + Σ_t c_t τ_t` is evaluated at (m+1)(m+2) vectors c, each loss is fitted by
    `softplus(Σ a_ij c_i c_j + Σ b_i c_i + e)`, and NSGA-III finds the front of the fits, c in [−3, 3]. Li et al.: MAP:
    Low-compute Model Merging with Amortized Pareto Fronts via Quadratic Approximation, ICLR 2025.

    The paper's front has no λ. Here the c of each λ on a lattice is the point of the found front that is the best by
    `scalarization` of the fitted losses, moved to the next minimum of that; between the points of the lattice c is
    linear in λ.

    Source: arXiv 2406.07529 and its released code, which fits accuracies through a sigmoid, and losses as here. The
    nested and Bayesian variants are not here. Limits: a quadratic holds near where it was fitted, [0, 1]^m, not in all
    of [−3, 3]; R², and errors of predictions on the front, are told. Evaluations grow with m². They run on the
    host, as a run is planned.

    With a small and quick search::

        solver:
          name: map
          members: {left: left.safetensors, right: right.safetensors}
          base: base.safetensors
          samples: 100
          population: 40
          generations: 20
        training: none
    """

    trains: ClassVar[bool] = False

    evaluations: int | None = option(
        None, ge=1, le=100_000, help="coefficient vectors that are evaluated; none: (m+1)(m+2), twice what a fit needs"
    )
    split: Literal["val", "train"] = option("val", help="split whose samples they are evaluated on")
    samples: int = option(2000, ge=1, le=10_000_000, help="samples of it, at most")
    link: Link = option("softplus", help="what a quadratic goes through to become a loss: softplus, or identity")
    bound: float = option(3.0, gt=0, help="coefficients are searched in [−bound, bound]")
    population: int = option(100, ge=4, le=10_000, help="points of a generation of NSGA-III")
    generations: int = option(150, ge=1, le=100_000, help="generations of NSGA-III")
    scalarization: Kind = option(
        "tchebycheff", help="which point of the found front a preference gets: tchebycheff (losses scaled) or linear"
    )
    seed: int = option(0, ge=0, help="of the evaluated coefficient vectors and of the search")

    def weight_space(self, m: int) -> WeightSpaceConfig:
        """Task vectors, and a table of coefficients."""
        return Tabulated()

    def model_start(self) -> Start:
        """The members, and what finds the table."""
        return MAPStart(
            gather=self.from_members(),
            evaluations=self.evaluations,
            split=self.split,
            samples=self.samples,
            link=self.link,
            search=Search(bound=self.bound, population=self.population, generations=self.generations, seed=self.seed),
            scalarization=self.scalarization,
        )
