"""Gaussian processes of the objectives: fitted by scikit-learn, asked through torch, which differentiates them."""

from __future__ import annotations

import math
import warnings

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["GaussianProcesses"]

Array = npt.NDArray[np.float64]

_LENGTHS, _AMPLITUDES = (1e-3**0.5, 1e3**0.5), (1e-3**0.5, 1e3**0.5)  # bounds in PSL-MOBO's code
_NOISE = (1e-6, 1e-1)  # bounds of the variance beside 1 that is taken for noise


class GaussianProcesses:
    """One Gaussian process an objective, with a Matérn kernel (ν = 5/2) that has a length for each variable.

    Lengths, amplitude and noise maximize the marginal likelihood (L-BFGS of scipy). Noise is fitted where the function
    has none, too: without it a root or a kink in one corner makes all lengths short, and the prediction useless
    elsewhere. Mean and deviation, that of the function without noise, are those of
    `sklearn.gaussian_process.GaussianProcessRegressor`, computed in torch for all objectives at once:
    `μ = k(x, X) α`, `σ² = k(x, x) − ‖L⁻¹ k(X, x)‖²` (Rasmussen, Williams, Gaussian Processes for Machine Learning,
    2006, algorithm 2.1).

    Args:
        x: (k, n) points of the unit cube, k at least 2.
        y: (k, m) values with mean 0 and deviation 1.
    """

    def __init__(self, x: Array, y: Array) -> None:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        function = ConstantKernel(1.0, _AMPLITUDES) * Matern(np.ones(x.shape[1]), _LENGTHS, nu=2.5)
        kernel = function + WhiteKernel(1e-4, _NOISE)
        with warnings.catch_warnings(action="ignore"):  # a length at its bound, or few iterations, still serve
            fitted = [GaussianProcessRegressor(kernel, alpha=1e-10).fit(x, column) for column in y.T]
        functions = [one.kernel_.k1 for one in fitted]
        lengths = np.array([one.k2.length_scale * np.ones(x.shape[1]) for one in functions])
        self.lengths = torch.from_numpy(lengths)[:, None, :]  # (m, 1, n)
        self.amplitudes = torch.tensor([one.k1.constant_value for one in functions], dtype=torch.float64)
        self.x = torch.from_numpy(x)[None] / self.lengths  # (m, k, n)
        self.alpha = torch.from_numpy(np.array([one.alpha_ for one in fitted]))[:, :, None]  # (m, k, 1)
        self.factor = torch.from_numpy(np.array([one.L_ for one in fitted]))  # (m, k, k)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation (b, m) at points (b, n) of the unit cube in float64; differentiable."""
        covariances = self._covariances(x)  # (m, b, k)
        mean = (covariances @ self.alpha)[:, :, 0]
        solved = torch.linalg.solve_triangular(self.factor, covariances.mT, upper=False)
        variance = self.amplitudes[:, None] - solved.square().sum(dim=1)
        return mean.mT, variance.clamp_min(1e-12).sqrt().mT  # below that it is rounding

    def _covariances(self, x: Tensor) -> Tensor:
        # Differences, not products, which would lose digits between points that are close.
        distance = torch.cdist(x[None] / self.lengths, self.x, compute_mode="donot_use_mm_for_euclid_dist")
        scaled = math.sqrt(5) * distance
        return self.amplitudes[:, None, None] * (1 + scaled + scaled.square() / 3) * (-scaled).exp()
