"""The search of qNEHVI, by BoTorch."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from attrs import frozen
from torch import Tensor

from moframework.blackbox.base import Budget, Request, Search
from moframework.blackbox.finite_set import finite_model
from moframework.errors import SpecError
from moframework.model import ParetoModel

__all__ = ["QNEHVISearch", "check_botorch"]

Array = npt.NDArray[np.float64]


def check_botorch() -> None:
    """Raise `SpecError` where BoTorch is not installed."""
    if find_spec("botorch") is None:
        raise SpecError("solver: qnehvi needs BoTorch, which is not installed: pip install 'moframework[botorch]'")


@frozen(kw_only=True)
class QNEHVISearch(Search):
    """Batches by the noisy expected hypervolume improvement (Daulton, Balandat, Bakshy, NeurIPS 2021, arXiv
    2105.08195), in the logarithmic form that BoTorch recommends (Ament et al., NeurIPS 2023, arXiv 2310.20708).

    As BoTorch's tutorial on multi-objective optimization: one `SingleTaskGP` an objective, points of a batch chosen one
    after the other.
    """

    budget: Budget
    samples: int
    restarts: int
    raw_samples: int

    def propose(self, request: Request) -> Array:
        """See `Search.propose`."""
        seed = request.seed_of(0)
        values = request.known.values
        mean, spread = values.mean(axis=0), values.std(axis=0)
        deviation = np.where(spread > 0, spread, 1.0)
        # BoTorch maximizes; it warns of what it then mends by itself.
        y = torch.from_numpy((mean - values) / deviation)
        reference = ((mean - np.array(request.reference)) / deviation).tolist()
        with warnings.catch_warnings(action="ignore"), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            points = self._optimized(torch.from_numpy(request.unit), y, reference, request.count, seed)
        found: Array = points.detach().clamp(0, 1).numpy()
        return found

    def _optimized(self, x: Tensor, y: Tensor, reference: list[float], count: int, seed: int) -> Tensor:
        """The points (count, n) of the largest improvement."""
        from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
        from botorch.optim.optimize import optimize_acqf
        from botorch.sampling.normal import SobolQMCNormalSampler

        acquisition = qLogNoisyExpectedHypervolumeImprovement(
            model=_surrogate(x, y),
            ref_point=reference,
            X_baseline=x,
            sampler=SobolQMCNormalSampler(sample_shape=torch.Size([self.samples]), seed=seed),
            prune_baseline=True,
        )
        n = x.shape[1]
        points: Tensor
        points, _ = optimize_acqf(
            acq_function=acquisition,
            bounds=torch.stack([torch.zeros(n), torch.ones(n)]).double(),
            q=count,
            num_restarts=self.restarts,
            raw_samples=self.raw_samples,
            options={"batch_limit": 5, "maxiter": 200},
            sequential=True,
        )
        return points

    def model(self, request: Request, rows: npt.NDArray[np.int64], preferences: Array) -> ParetoModel:
        """The non-dominated points, a preference each."""
        return finite_model(request, rows, preferences)


def _surrogate(x: Tensor, y: Tensor) -> Any:
    """A Gaussian process an objective, fitted."""
    from botorch.fit import fit_gpytorch_mll
    from botorch.models.gp_regression import SingleTaskGP
    from botorch.models.model_list_gp_regression import ModelListGP
    from gpytorch.mlls.sum_marginal_log_likelihood import SumMarginalLogLikelihood

    model = ModelListGP(*(SingleTaskGP(x, y[:, [t]]) for t in range(y.shape[1])))
    fit_gpytorch_mll(SumMarginalLogLikelihood(model.likelihood, model))
    return model
