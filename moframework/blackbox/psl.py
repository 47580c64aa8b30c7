"""The search of Pareto set learning: surrogates, x(λ) on their lower confidence bounds, batches by hypervolume."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from attrs import frozen
from torch import Generator, Tensor

from moframework.blackbox.acquisition import greedy_batch
from moframework.blackbox.base import Budget, Request, Search
from moframework.blackbox.pareto_set import Learning, descent, learn, points_of
from moframework.blackbox.placing import Scale
from moframework.blackbox.surrogate import GaussianProcesses
from moframework.model import ParetoModel
from moframework.preferences.dirichlet import Dirichlet

__all__ = ["ParetoSetSearch"]

Array = npt.NDArray[np.float64]

_LOCAL = 0.01  # step of the local search in the unit cube, as in PSL-MOBO's code


@frozen(kw_only=True)
class ParetoSetSearch(Search):
    """Pareto set learning for expensive functions (Lin et al., NeurIPS 2022, arXiv 2210.08495), with the settings of
    its released code (Xi-L/PSL-MOBO, 5abce23).

    For each batch Gaussian processes are fitted to all evaluations, and a new model x(λ) is trained on their lower
    confidence bounds `μ − β σ`. Of its points at many preferences, and of these moved one step along the gradient, the
    batch is chosen that enlarges the hypervolume most. At the end a model is trained on the means.
    """

    budget: Budget
    learning: Learning
    beta: float
    candidates: int

    def propose(self, request: Request) -> Array:
        """See `Search.propose`."""
        scale = Scale(request.known.values)
        surrogate = GaussianProcesses(request.unit, scale.standardized(request.known.values))
        bound = _Bound(surrogate, scale, self.beta)
        model = self._learned(request, bound)
        generator = Generator().manual_seed(request.weights_seed())
        preferences = Dirichlet(concentration=1.0).draw(
            1.0, max(self.candidates, request.count), request.function.objectives, generator
        )
        with torch.no_grad():
            points = points_of(model, request.function, preferences)
        moved = points - _LOCAL * descent(points, preferences, bound, self.learning.objective)
        both = torch.cat([points, moved.clamp(0, 1)])
        with torch.no_grad():
            values = bound(both).numpy()
        front = scale.standardized(request.known.values[request.known.front()]) - scale.ideal
        chosen = greedy_batch(values, front, request.count, request.generator())
        found: Array = both[chosen].numpy()
        return found

    def model(self, request: Request, rows: npt.NDArray[np.int64], preferences: Array) -> ParetoModel:
        """x(λ), trained on the means of surrogates of all evaluations."""
        scale = Scale(request.known.values)
        surrogate = GaussianProcesses(request.unit, scale.standardized(request.known.values))
        return self._learned(request, _Bound(surrogate, scale, 0.0))

    def _learned(self, request: Request, bound: _Bound) -> ParetoModel:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(request.weights_seed())
            model = request.make(request.recipe)
            learn(model, request.function, bound, self.learning, request.weights_seed())
        return model


@frozen
class _Bound:
    """`μ − β σ − z`: lower confidence bounds (r, m), above the ideal point."""

    surrogate: GaussianProcesses
    scale: Scale
    beta: float

    def __call__(self, x: Tensor) -> Tensor:
        mean, deviation = self.surrogate(x)
        return mean - self.beta * deviation - torch.from_numpy(self.scale.ideal)
