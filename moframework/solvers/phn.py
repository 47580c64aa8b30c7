"""PHN: Pareto hypernetworks."""

from __future__ import annotations

from pathlib import Path

from moframework.config import config, option
from moframework.objectives import Balancing, Objective
from moframework.objectives.linear import Linear
from moframework.preferences import Schedule
from moframework.preferences.dirichlet import Dirichlet
from moframework.solvers.base import Method, Solver
from moframework.weights import WeightSpaceConfig
from moframework.weights.hypernetwork import Hypernetwork

__all__ = ["PHN"]


def _preferences() -> Schedule:
    return Dirichlet(concentration=0.2, per_batch=1)


@config
class PHN(Solver):
    """A hypernetwork computes the weights from the preference (Navon, Shamsian, Fetaya, Chechik, ICLR 2021).

    Trained at one preference a batch from a Dirichlet distribution that favors the vertices, with linear scalarization,
    or with EPO: `objective: epo`, which reaches concave fronts too.

    Source: arXiv 2010.04104 and its released code, which trains with Adam at 1e-4. Limits: the full hypernetwork has
    about a hundred times the parameters of the network; `weights: chunked_hypernetwork` has a few percent more than it.
    """

    weights: WeightSpaceConfig = option(
        factory=Hypernetwork, help="the hypernetwork: hypernetwork (a head a tensor), or chunked_hypernetwork"
    )
    preferences: Schedule = option(
        factory=_preferences, help="how preferences are drawn, how many a batch, shared or split"
    )
    objective: Objective = option(factory=Linear, help="how losses and a preference become one direction of descent")
    balancing: tuple[Balancing, ...] = option(
        (), help="how losses of different size are put on one footing, in this order"
    )
    initial: Path | None = option(
        None, help="network that the weights start around: a .safetensors or .pt state dict, or a run folder"
    )

    def method(self, m: int) -> Method:
        """See `Solver.method`."""
        return Method(
            weights=self.weights,
            preferences=self.preferences,
            objective=self.objective,
            balancing=self.balancing,
            initial=self.initial,
        )
