"""Gaussian processes in torch against scikit-learn's own predictions, and their gradients against differences."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from moframework.blackbox.surrogate import GaussianProcesses


def data() -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).random((25, 3))
    y = np.stack([np.sin(3 * x[:, 0]) + x[:, 1], x[:, 2] ** 2 - x[:, 0]], axis=1)
    return x, (y - y.mean(axis=0)) / y.std(axis=0)


def test_mean_and_deviation_are_those_of_scikit_learn() -> None:
    x, y = data()
    surrogate, asked = GaussianProcesses(x, y), np.random.default_rng(1).random((40, 3))
    mean, deviation = surrogate(torch.from_numpy(asked))
    kernel = ConstantKernel(1.0, (1e-3**0.5, 1e3**0.5)) * Matern(np.ones(3), (1e-3**0.5, 1e3**0.5), nu=2.5)
    for t in range(2):
        theirs = GaussianProcessRegressor(kernel + WhiteKernel(1e-4, (1e-6, 1e-1)), alpha=1e-10)
        with warnings.catch_warnings(action="ignore"):
            theirs.fit(x, y[:, t])
        expected, spread = theirs.predict(asked, return_std=True)
        noise = theirs.kernel_.k2.noise_level
        np.testing.assert_allclose(mean[:, t].numpy(), expected, atol=1e-6)
        np.testing.assert_allclose(deviation[:, t].numpy() ** 2 + noise, spread**2, atol=1e-6)


def test_gradients_agree_with_differences() -> None:
    surrogate = GaussianProcesses(*data())
    asked = torch.from_numpy(np.random.default_rng(2).random((4, 3))).requires_grad_()
    assert torch.autograd.gradcheck(surrogate, (asked,), atol=1e-4)


def test_at_a_known_point_the_gradient_is_finite() -> None:
    x, y = data()
    asked = torch.from_numpy(x[:2]).requires_grad_()
    mean, deviation = GaussianProcesses(x, y)(asked)
    (gradient,) = torch.autograd.grad((mean - deviation).sum(), asked)
    assert torch.isfinite(gradient).all()
    np.testing.assert_allclose(mean.detach().numpy(), y[:2], atol=0.05)
