"""The search of Pareto set learning: surrogates, x(λ) on their lower confidence bounds, batches by hypervolume."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from attrs import frozen
from scipy.optimize import minimize
from torch import Generator, Tensor

from moframework.blackbox.acquisition import greedy_batch
from moframework.blackbox.base import Budget, Request, Search
from moframework.blackbox.pareto_set import Learning, descent, learn, points_of
from moframework.blackbox.placing import BELOW, Scale
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

    Differences from that code: the ideal point is below the least bound that the box has, where the code's lies a tenth
    of a deviation below the least value so far and keeps x(λ) from going further; noise is fitted; the reference point
    of the batch has a margin.
    """

    budget: Budget
    learning: Learning
    beta: float
    candidates: int

    def propose(self, request: Request) -> Array:
        """See `Search.propose`."""
        scale, bound = _bound(request, self.beta)
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
        front = scale.standardized(request.known.values[request.known.front()]) - bound.ideal
        chosen = greedy_batch(values, front, request.count, request.generator())
        found: Array = both[chosen].numpy()
        return found

    def model(self, request: Request, rows: npt.NDArray[np.int64], preferences: Array) -> ParetoModel:
        """x(λ), trained on the means of surrogates of all evaluations."""
        return self._learned(request, _bound(request, 0.0)[1])

    def _learned(self, request: Request, bound: _Bound) -> ParetoModel:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(request.weights_seed())
            model = request.make(request.recipe)
            learn(model, request.function, bound, self.learning, request.weights_seed())
        return model


@frozen
class _Bound:
    """`μ − β σ − z`: lower confidence bounds (r, m), above an ideal point z."""

    surrogate: GaussianProcesses
    beta: float
    ideal: Array

    def __call__(self, x: Tensor) -> Tensor:
        mean, deviation = self.surrogate(x)
        return mean - self.beta * deviation - torch.from_numpy(self.ideal)


def _bound(request: Request, beta: float) -> tuple[Scale, _Bound]:
    """The scale of all evaluations, and the bounds of surrogates fitted to them above their own least values."""
    scale = Scale(request.known.values)
    values = scale.standardized(request.known.values)
    surrogate = GaussianProcesses(request.unit, values)
    plain = _Bound(surrogate, beta, np.zeros(values.shape[1]))
    least = np.array([_least(plain, t, request.unit[values[:, t].argmin()]) for t in range(values.shape[1])])
    return scale, _Bound(surrogate, beta, np.minimum(least, values.min(axis=0)) - BELOW)


def _least(bound: _Bound, t: int, start: Array) -> float:
    """The least value of a bound near a point, by L-BFGS-B inside the unit cube."""

    def asked(x: Array) -> tuple[float, Array]:
        point = torch.from_numpy(x[None]).requires_grad_()
        value = bound(point)[0, t]
        (gradient,) = torch.autograd.grad(value, point)
        return float(value.detach()), gradient[0].numpy()

    found = minimize(asked, start, jac=True, method="L-BFGS-B", bounds=[(0.0, 1.0)] * len(start))
    return float(found.fun)
