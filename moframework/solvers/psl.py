"""Pareto set learning for expensive functions."""

from __future__ import annotations

from typing import ClassVar

from moframework.blackbox import Search
from moframework.blackbox.pareto_set import Learning
from moframework.blackbox.psl import ParetoSetSearch
from moframework.config import config, option
from moframework.errors import SpecError
from moframework.objectives import Objective, Scalarization
from moframework.objectives.tchebycheff import Tchebycheff
from moframework.preferences import Schedule
from moframework.preferences.dirichlet import Dirichlet
from moframework.solvers.searching import Searching
from moframework.weights import WeightSpaceConfig
from moframework.weights.hypernetwork import Hypernetwork

__all__ = ["PSL"]


@config
class PSL(Searching):
    """Pareto set learning (Lin et al., NeurIPS 2022, arXiv 2210.08495): a model x(λ) of all trade-offs of an expensive
    function, learned on Gaussian processes of it.

    Each batch comes from such a model, trained anew on the processes' lower confidence bounds by the augmented
    Tchebycheff scalarization; the points that enlarge the hypervolume most are evaluated. Then x(λ) is trained on all
    that is known. Source: the paper and its released code (Xi-L/PSL-MOBO, 5abce23), whose settings are the defaults.
    Limits: Gaussian processes serve up to some hundred evaluations and a few dozen variables.

    With 60 evaluations, of which the search chooses the last 40, five at a time::

        problem: re21
        solver: {name: psl, evaluations: 60, initial_design: 20, batch: 5}
    """

    shared_options: ClassVar[tuple[str, ...]] = ("preferences", "objective")
    default_preferences: ClassVar[Schedule] = Dirichlet(concentration=1.0, per_batch=10)
    default_objective: ClassVar[Objective] = Tchebycheff(augmentation=0.01)

    weights: WeightSpaceConfig = option(Hypernetwork(hidden=(256, 256)), help="the weight space of x(λ)")
    steps: int = option(1000, ge=1, le=1_000_000, help="steps of Adam that x(λ) is trained for, at each batch anew")
    lr: float = option(1e-3, gt=0, help="their learning rate")
    beta: float = option(0.1, ge=0, help="β of the lower confidence bounds μ − β σ; more explores more")
    candidates: int = option(1000, ge=1, le=1_000_000, help="preferences whose points a batch is chosen from")

    def weight_space(self, m: int) -> WeightSpaceConfig:
        """`weights`."""
        return self.weights

    def search(self, m: int) -> Search:
        """See the class."""
        if not isinstance(self.objective, Scalarization) or self.objective.build(m, 1) is not None:
            raise SpecError(
                "solver.objective: psl descends a scalarization of predicted objectives that has no state, such as "
                "tchebycheff, smooth_tchebycheff, linear or pbi"
            )
        learning = Learning(steps=self.steps, lr=self.lr, preferences=self.preferences, objective=self.objective)
        return ParetoSetSearch(budget=self.budget, learning=learning, beta=self.beta, candidates=self.candidates)
