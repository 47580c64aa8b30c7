"""PHN-HVI: Pareto hypernetworks by hypervolume maximization."""

from __future__ import annotations

from pathlib import Path

from moframework.config import config, option
from moframework.objectives import Balancing, Objective
from moframework.objectives.hypervolume_gradient import HypervolumeGradient
from moframework.preferences import Schedule
from moframework.preferences.stratified import Stratified
from moframework.solvers.base import Method, Solver
from moframework.weights import WeightSpaceConfig
from moframework.weights.hypernetwork import Hypernetwork

__all__ = ["PHNHVI"]


def _preferences() -> Schedule:
    return Stratified(margin=0.1, per_batch=16)


def _objective() -> Objective:
    return HypervolumeGradient(coefficient=5.0)


@config
class PHNHVI(Solver):
    """A hypernetwork trained to enlarge the hypervolume of many preferences (Hoang, Le, Tuan, Thang, AAAI 2023).

    At 16 preferences a batch, one from each of as many equal angles, the losses weigh as much as the hypervolume grows
    when they fall, less 5 times the cosine between losses and the preference's ray.

    Source: arXiv 2212.01130 and its released code, which trains with Adam at 5e-4. That code first trains one epoch on
    the cosine alone and lowers the learning rate when validation stops improving; both are left out. Limits: holds the
    graphs of all preferences of a step; a hypervolume costs more with each task (see `hypervolume_gradient`);
    parameters as of `phn`.
    """

    weights: WeightSpaceConfig = option(
        factory=Hypernetwork, help="the hypernetwork: hypernetwork (a head a tensor), or chunked_hypernetwork"
    )
    preferences: Schedule = option(
        factory=_preferences, help="how preferences are drawn, how many a batch, shared or split"
    )
    objective: Objective = option(factory=_objective, help="how the losses of all preferences become one scalar")
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
