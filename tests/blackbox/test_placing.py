"""The preference of a point is the one at which it is the Tchebycheff optimum among all."""

from __future__ import annotations

import numpy as np
import pytest

from moframework.blackbox.placing import Scale, preferences_of
from moframework.pareto.indicators import nondominated


@pytest.mark.parametrize("m", [2, 3])
def test_each_point_is_best_at_its_own_preference(m: int) -> None:
    known = np.random.default_rng(m).random((60, m)) * np.logspace(0, 3, m)
    front = known[nondominated(known)]
    preferences = preferences_of(front, known)
    np.testing.assert_allclose(preferences.sum(axis=1), 1)
    assert (preferences > 0).all()
    assert len(np.unique(preferences.round(9), axis=0)) == len(front)
    scale = Scale(known)
    above = scale.standardized(known) - scale.ideal
    for point, preference in zip(front, preferences, strict=True):
        best = known[(preference * above).max(axis=1).argmin()]
        np.testing.assert_array_equal(best, point)


def test_an_objective_that_never_changes_does_no_harm() -> None:
    values = np.array([[1.0, 5.0], [2.0, 5.0]])
    assert np.isfinite(preferences_of(values, values)).all()
