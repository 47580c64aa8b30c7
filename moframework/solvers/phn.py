"""PHN: Pareto hypernetworks."""

from __future__ import annotations

from moframework.config import config, option
from moframework.objectives import Objective
from moframework.objectives.linear import Linear
from moframework.preferences.dirichlet import Dirichlet
from moframework.solvers.hypernetwork import HypernetworkSolver

__all__ = ["PHN"]


@config
class PHN(HypernetworkSolver):
    """A hypernetwork computes the weights from the preference (Navon, Shamsian, Fetaya, Chechik, ICLR 2021).

    Trained at one preference a batch from a Dirichlet distribution that favors the vertices, with linear scalarization,
    or with EPO: `objective: epo`, which reaches concave fronts too.

    Source: arXiv 2010.04104 and its released code, which trains with Adam at 1e-4. Limits: the full hypernetwork has
    about a hundred times the parameters of the network; `weights: chunked_hypernetwork` has a few percent more than it.

    For a concave front, with the smaller hypernetwork::

        solver: {name: phn, objective: epo, weights: {name: chunked_hypernetwork, chunk: 512}}
        training: {optimizer: {name: adam, lr: 1e-4}}
    """

    default_preferences = Dirichlet(concentration=0.2, per_batch=1)
    objective: Objective = option(Linear(), help="how losses and a preference become one direction of descent")
