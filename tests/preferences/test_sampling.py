from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from moframework.preferences.sampling import log_dirichlet, share_emphasis
from tests.preferences.claims import seeded


@pytest.mark.parametrize(("concentration", "m"), [(0.05, 2), (0.2, 2), (1.0, 2), (1.0, 5), (0.4, 5), (7.0, 3)])
def test_one_weight_is_beta_distributed(concentration: float, m: int) -> None:
    drawn = log_dirichlet(concentration, 4000, m, seeded(1)).exp()
    marginal = stats.beta(concentration, concentration * (m - 1))
    for threshold in (1e-9, 1e-3, 0.05, 0.3, 0.5, 0.8, 0.99, 1 - 1e-9):
        below = (drawn <= threshold).double().mean(dim=0)
        # a share of 4000 draws has a standard deviation of 0.008 at most
        np.testing.assert_allclose(below, marginal.cdf(threshold), atol=0.036)


def test_the_covariance_is_that_of_a_dirichlet() -> None:
    drawn = log_dirichlet(0.5, 20000, 4, seeded(2)).exp().numpy()
    # variance (1/m)(1 − 1/m)/(mc + 1), covariance −(1/m²)/(mc + 1)
    expected = (np.eye(4) / 4 - 1 / 16) / 3
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.002)


@settings(max_examples=60, deadline=None)
@given(
    concentration=st.floats(0.001, 1e4), count=st.integers(1, 6), m=st.integers(1, 50), seed=st.integers(0, 2**32 - 1)
)
def test_logarithms_are_finite_and_normalized(concentration: float, count: int, m: int, seed: int) -> None:
    drawn = log_dirichlet(concentration, count, m, seeded(seed))
    assert drawn.dtype == torch.float64
    assert torch.isfinite(drawn).all()
    assert (drawn <= 0).all()
    torch.testing.assert_close(drawn.exp().sum(dim=1), torch.ones(count, dtype=torch.float64))


@settings(max_examples=60, deadline=None)
@given(r=st.integers(1, 12), m=st.integers(1, 8), seed=st.integers(0, 1000))
def test_sharing_emphasis_moves_entries_within_rows_only(r: int, m: int, seed: int) -> None:
    points = torch.rand((r, m), generator=seeded(seed), dtype=torch.float64)
    before = points.clone()
    shared = share_emphasis(points, seeded(seed))
    assert torch.equal(points, before)
    assert torch.equal(shared.sort(dim=1).values, points.sort(dim=1).values)
    times = torch.bincount(shared.argmax(dim=1), minlength=m)
    assert times.max() - times.min() <= 1


def test_sharing_emphasis_keeps_the_distribution_of_a_row() -> None:
    drawn = log_dirichlet(0.5, 4000, 4, seeded(3))
    generator = seeded(4)
    shared = torch.cat([share_emphasis(rows, generator) for rows in torch.split(drawn, 5)]).exp()
    for t in range(4):
        # for 4000 draws exceeded once in 10,000
        assert stats.kstest(shared[:, t].numpy(), stats.beta(0.5, 1.5).cdf).statistic < 0.036
