"""RE21: values by hand, the published nadir, its front and its hypervolume."""

from __future__ import annotations

import math

import numpy as np
from moframework.problems.re21 import RE21

from tests.problems.analytic import assert_differentiable, assert_front, assert_hypervolume, values


def test_values_by_hand() -> None:
    """At x = (1, √2, √2, 1): volume 200 (2 + 2 + 2^¼ + 1), displacement 0.01 (2 + 2 − 2 + 2)."""
    found = values(RE21(), np.array([[1, math.sqrt(2), math.sqrt(2), 1]]))
    np.testing.assert_allclose(found, [[200 * (5 + 2**0.25), 0.04]], rtol=1e-12)


def test_the_nadir_is_the_published_one() -> None:
    """As the released code of PSL-MOBO (Xi-L/PSL-MOBO, 5abce23, problem.py) states it, to seven digits."""
    np.testing.assert_allclose(RE21().nadir, (2886.3695604236013, 0.039999999999998245), rtol=1e-7)


def test_gradients_front_and_hypervolume() -> None:
    assert_differentiable(RE21())
    assert_front(RE21())
    assert_hypervolume(RE21(), (2000, 4000))
