"""PHN-HVI: Pareto hypernetworks by hypervolume maximization."""

from __future__ import annotations

from moframework.config import config, option
from moframework.objectives import Objective
from moframework.objectives.hypervolume_gradient import HypervolumeGradient
from moframework.preferences.stratified import Stratified
from moframework.solvers.hypernetwork import HypernetworkSolver

__all__ = ["PHNHVI"]


@config
class PHNHVI(HypernetworkSolver):
    """A hypernetwork trained to enlarge the hypervolume of many preferences (Hoang, Le, Tuan, Thang, AAAI 2023).

    At 16 preferences a batch, one from each of as many equal angles, the losses weigh as much as the hypervolume grows
    when they fall, less 5 times the cosine between losses and the preference's ray.

    Source: arXiv 2212.01130 and its released code, which trains with Adam at 5e-4. That code first trains one epoch on
    the cosine alone and lowers the learning rate when validation stops improving; both are left out. Limits: holds the
    graphs of all preferences of a step; a hypervolume costs more with each task (see `hypervolume_gradient`);
    parameters as of `phn`.

    With eight preferences a batch, and the smaller hypernetwork::

        solver:
          name: phn_hvi
          preferences: {name: stratified, per_batch: 8, margin: 0.1}
          weights: chunked_hypernetwork
        training: {optimizer: {name: adam, lr: 5e-4}}
    """

    default_preferences = Stratified(margin=0.1, per_batch=16)
    objective: Objective = option(
        HypervolumeGradient(coefficient=5.0), help="how the losses of all preferences become one scalar"
    )
