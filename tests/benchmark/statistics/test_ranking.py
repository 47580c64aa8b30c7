from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from moframework.benchmark.statistics.ranking import critical_difference, friedman, groups, holm, ranks

TIED = np.array([[0.9, 0.8, 0.8], [0.7, 0.9, 0.6], [0.5, 0.5, 0.4], [0.9, 0.9, 0.9], [0.3, 0.2, 0.1]])


def test_ranks_by_hand() -> None:
    assert ranks(TIED, upward=True).tolist() == [[1, 2.5, 2.5], [2, 1, 3], [1.5, 1.5, 3], [2, 2, 2], [1, 2, 3]]
    assert ranks(TIED, upward=False)[1].tolist() == [2, 3, 1]


def test_friedmans_test_by_its_formula() -> None:
    """χ² = (k − 1) Σ_j (R_j − n(k+1)/2)² / (Σ r² − nk(k+1)²/4), which counts ties (Conover)."""
    found = friedman(TIED)
    assert found is not None
    r = ranks(TIED, upward=True)
    n, k = r.shape
    spread = np.square(r).sum() - n * k * (k + 1) ** 2 / 4
    chi = (k - 1) * np.square(r.sum(axis=0) - n * (k + 1) / 2).sum() / spread
    assert found.statistic == pytest.approx(chi)
    assert found.p == pytest.approx(stats.chi2.sf(chi, k - 1))
    f = (n - 1) * chi / (n * (k - 1) - chi)
    assert found.f == pytest.approx(f)
    assert found.f_p == pytest.approx(stats.f.sf(f, k - 1, (k - 1) * (n - 1)))


def test_all_ties_and_perfect_agreement() -> None:
    assert friedman(np.ones((4, 3))) is None
    alike = friedman(np.array([[1.0, 2.0, 3.0]] * 5))
    assert alike is not None
    assert alike.statistic == pytest.approx(10)
    assert (alike.f, alike.f_p) == (None, None)


@pytest.mark.parametrize(
    ("k", "q"),
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (9, 3.102), (10, 3.164)],
)
def test_the_critical_difference_by_the_published_table(k: int, q: float) -> None:
    """Demšar, JMLR 7, 2006, table 5 (a): q for 95 %."""
    assert critical_difference(k, 11, 0.95) == pytest.approx(q * np.sqrt(k * (k + 1) / 66), abs=1e-3)


def test_nemenyi_agrees_with_scikit_posthocs() -> None:
    """Made by scikit-posthocs 0.17.1 (posthoc_nemenyi_friedman, scipy 1.17.1) from the matrix of its own example: at a
    difference of ranks at which its p-value is 1 − confidence, that is the critical difference."""
    block = np.array([[31, 27, 24], [31, 28, 31], [45, 29, 46], [21, 18, 48], [42, 36, 46], [32, 17, 40]])
    mean = ranks(block, upward=False).mean(axis=0)
    for (i, j), p in GOLDEN.items():
        assert critical_difference(3, 6, 1 - p) == pytest.approx(abs(mean[i] - mean[j]), abs=1e-4)


GOLDEN = {(0, 1): 0.14553487, (0, 2): 0.83222922, (1, 2): 0.03760991}


def test_groups_are_the_largest_ones() -> None:
    assert groups([1.0, 2.0, 3.0], 5.0) == [(0, 1, 2)]
    assert groups([3.0, 1.0, 2.0], 0.5) == []
    assert groups([1.0, 1.9, 2.8, 4.0], 1.0) == [(0, 1), (1, 2)]
    assert groups([1.0, 1.0], 0.1) == [(0, 1)]


def test_holm_by_hand_and_never_below_what_it_corrects() -> None:
    assert holm([0.04, 0.01, 0.5]) == pytest.approx([0.08, 0.03, 0.5])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
    p = np.random.default_rng(0).random(9).tolist()
    assert all(after >= before for before, after in zip(p, holm(p), strict=True))
