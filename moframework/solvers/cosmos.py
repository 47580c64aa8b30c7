"""COSMOS: conditioned one-shot multi-objective search."""

from __future__ import annotations

from moframework.config import config, option
from moframework.objectives.cosine_penalty import CosinePenalty
from moframework.preferences.dirichlet import Dirichlet
from moframework.solvers.base import Solver
from moframework.weights import WeightSpaceConfig
from moframework.weights.conditioned import Conditioned

__all__ = ["COSMOS"]


@config
class COSMOS(Solver):
    """One network that reads the preference with its input (Ruchte and Grabocka, ICDM 2021).

    Trained on `Σ_t λ_t L_t − c cos(L, u)` at one preference a batch, u the preference's ray; without the cosine the
    network tends to ignore λ.

    Source: arXiv 2103.13392 and its released code; c = 2 and the Dirichlet distribution's 1.2 are those of MultiMNIST
    (c = 8 for Fashion+MNIST, 0.01 for tables). As published u is λ itself, which rewards a large loss where λ_t is
    large; here it is 1/λ unless the spec says `objective: {name: cosine_penalty, direction: preference}`.

    Limits: inputs are vectors or images, or have an entry that is one; controllability depends on c, to be tuned for
    each problem.

    With the weight of the cosine for Fashion+MNIST::

        solver: {name: cosmos, objective: {name: cosine_penalty, coefficient: 8}}
    """

    # The network's first layer is wider than that of a plain one, whose weights would not fit.
    shared_options = ("preferences", "objective", "balancing")
    default_preferences = Dirichlet(concentration=1.2, per_batch=1)
    default_objective = CosinePenalty()

    entry: str | None = option(
        None, help="the entry of a dict or tuple of inputs that λ joins: its key or position, dots between several"
    )

    def weight_space(self, m: int) -> WeightSpaceConfig:
        """One network with λ as a further input."""
        return Conditioned(entry=self.entry)
