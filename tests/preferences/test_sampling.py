from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from moframework.preferences.sampling import log_dirichlet, log_softmax, share_emphasis, simplex
from tests.preferences.claims import seeded


@pytest.mark.parametrize(("concentration", "m"), [(0.05, 2), (0.2, 2), (1.0, 2), (1.0, 5), (0.4, 5), (7.0, 3)])
def test_one_weight_is_beta_distributed(concentration: float, m: int) -> None:
    drawn = np.exp(log_dirichlet(concentration, 4000, m, seeded(1)))
    marginal = stats.beta(concentration, concentration * (m - 1))
    for threshold in (1e-9, 1e-3, 0.05, 0.3, 0.5, 0.8, 0.99, 1 - 1e-9):
        below = (drawn <= threshold).mean(axis=0)
        # a share of 4000 draws has a standard deviation of 0.008 at most
        np.testing.assert_allclose(below, marginal.cdf(threshold), atol=0.036)


def test_the_covariance_is_that_of_a_dirichlet() -> None:
    drawn = np.exp(log_dirichlet(0.5, 20000, 4, seeded(2)))
    # variance (1/m)(1 − 1/m)/(mc + 1), covariance −(1/m²)/(mc + 1)
    expected = (np.eye(4) / 4 - 1 / 16) / 3
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.002)


@settings(max_examples=60, deadline=None)
@given(
    concentration=st.floats(0.001, 1e4), count=st.integers(1, 6), m=st.integers(1, 50), seed=st.integers(0, 2**32 - 1)
)
def test_logarithms_are_finite_and_normalized(concentration: float, count: int, m: int, seed: int) -> None:
    drawn = log_dirichlet(concentration, count, m, seeded(seed))
    assert drawn.dtype == np.float64
    assert np.isfinite(drawn).all()
    assert (drawn <= 0).all()
    np.testing.assert_allclose(np.exp(drawn).sum(axis=1), np.ones(count), rtol=1e-9)
    points = simplex(drawn)
    assert (points.dtype, points.shape) == (torch.float32, (count, m))


@settings(max_examples=60, deadline=None)
@given(r=st.integers(1, 12), m=st.integers(1, 8), seed=st.integers(0, 1000))
def test_sharing_emphasis_moves_entries_within_rows_only(r: int, m: int, seed: int) -> None:
    points = torch.rand((r, m), generator=seeded(seed), dtype=torch.float64).numpy()
    before = points.copy()
    shared = share_emphasis(points, seeded(seed))
    assert np.array_equal(points, before)
    assert np.array_equal(np.sort(shared, axis=1), np.sort(points, axis=1))
    times = np.bincount(shared.argmax(axis=1), minlength=m)
    assert times.max() - times.min() <= 1


def test_sharing_emphasis_keeps_the_distribution_of_a_row() -> None:
    drawn = log_dirichlet(0.5, 4000, 4, seeded(3))
    generator = seeded(4)
    shared = np.exp(np.concatenate([share_emphasis(rows, generator) for rows in np.split(drawn, 800)]))
    for t in range(4):
        # for 4000 draws exceeded once in 10,000
        assert stats.kstest(shared[:, t], stats.beta(0.5, 1.5).cdf).statistic < 0.036


@pytest.mark.parametrize("values", [[[0.0, 0.0]], [[1e308, -1e308], [-np.inf, 3.0]], [[1.0, 2.0, -700.0]]], ids=str)
def test_log_softmax_is_torchs(values: list[list[float]]) -> None:
    expected = torch.log_softmax(torch.tensor(values, dtype=torch.float64), dim=1)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(log_softmax(np.array(values)), expected.numpy(), rtol=1e-15)
