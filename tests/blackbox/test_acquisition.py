"""Improvements of the hypervolume by hand, and against pymoo and moocore."""

from __future__ import annotations

import moocore
import numpy as np
import pytest
from pymoo.indicators.hv import HV

from moframework.blackbox.acquisition import greedy_batch, hypervolume_improvement


def test_by_hand() -> None:
    """Below (4, 4) the front (1, 3), (3, 1) covers 3·1 + 1·3 − 1·1 = 5. (2, 2) adds the square [2, 3]², (1, 1) all of
    the rest of [1, 4]², 9 − 5; (3, 3) is dominated, (0.5, 5) beyond the reference, (0, 3.5) adds [0, 1] x [3.5, 4]."""
    front, reference = np.array([[1.0, 3.0], [3.0, 1.0]]), np.array([4.0, 4.0])
    candidates = np.array([[2.0, 2.0], [1.0, 1.0], [3.0, 3.0], [0.5, 5.0], [0.0, 3.5]])
    found = hypervolume_improvement(candidates, front, reference)
    np.testing.assert_allclose(found, [1.0, 4.0, 0.0, 0.0, 0.5], atol=1e-12)


@pytest.mark.parametrize("m", [2, 3])
def test_against_pymoo_and_moocore(m: int) -> None:
    generator = np.random.default_rng(m)
    front, candidates = generator.random((12, m)), 1.2 * generator.random((40, m))
    reference = np.full(m, 1.1)
    found = hypervolume_improvement(candidates, front, reference)
    indicator = HV(ref_point=reference)
    for candidate, gain in zip(candidates, found, strict=True):
        joint = np.vstack([front, candidate])
        assert gain == pytest.approx(indicator(joint) - indicator(front), abs=1e-6)
        both = moocore.hypervolume(joint, ref=reference) - moocore.hypervolume(front, ref=reference)
        assert gain == pytest.approx(both, abs=1e-6)
    assert (found > 0).any()
    assert (found == 0).any()


def test_a_batch_is_greedy_and_has_no_point_twice() -> None:
    generator = np.random.default_rng(0)
    front, candidates = generator.random((5, 2)) + 0.5, generator.random((30, 2))
    chosen = greedy_batch(candidates, front, 6, generator)
    assert len(set(chosen)) == 6
    every = np.vstack([front, candidates])
    reference = every.max(axis=0) + 0.1 * (every.max(axis=0) - every.min(axis=0))
    assert chosen[0] == hypervolume_improvement(candidates, front, reference).argmax()
    second = hypervolume_improvement(candidates, np.vstack([front, candidates[chosen[0]]]), reference)
    assert chosen[1] == second.argmax()


def test_where_nothing_improves_points_are_drawn() -> None:
    candidates = np.ones((8, 2))
    first, again = (greedy_batch(candidates, np.zeros((1, 2)), 3, np.random.default_rng(1)) for _ in range(2))
    assert first == again
    assert len(set(first)) == 3
