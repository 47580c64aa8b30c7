"""Convex problems over a Gramian: closed forms, optimality conditions, and TorchJD's Frank–Wolfe."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from moframework.objectives.gramian import dual_cone_weights, min_norm_weights, unit_scale
from tests.extras import needs_torchjd


def gramians(count: int = 30) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    made = []
    for _ in range(count):
        k, p = int(generator.integers(2, 7)), int(generator.integers(1, 9))
        jacobian = generator.normal(size=(k, p)) * 10.0 ** generator.uniform(-4, 4)
        made.append(jacobian @ jacobian.T)
    return made


@pytest.mark.parametrize("gramian", gramians())
def test_shortest_combination_satisfies_its_optimality_conditions(gramian: np.ndarray) -> None:
    weights = min_norm_weights(gramian)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    scaled = unit_scale(gramian)
    products = scaled @ weights  # of each gradient with the shortest combination
    least = weights @ scaled @ weights
    assert (products >= least - 1e-6).all()


def test_two_gradients_have_a_closed_form() -> None:
    generator = np.random.default_rng(1)
    for _ in range(20):
        one, other = generator.normal(size=(2, 4))
        share = np.clip((other - one) @ other / ((one - other) @ (one - other)), 0, 1)
        found = min_norm_weights(np.array([[one @ one, one @ other], [one @ other, other @ other]]))
        np.testing.assert_allclose(found, [share, 1 - share], atol=1e-8)


@needs_torchjd
def test_shortest_combination_agrees_with_torchjd() -> None:
    from torchjd.aggregation import MGDAWeighting

    for gramian in gramians(10):
        scaled = unit_scale(gramian)
        peer = MGDAWeighting(epsilon=1e-9, max_iters=5000)(torch.from_numpy(scaled)).numpy()
        ours = min_norm_weights(gramian)
        assert ours @ scaled @ ours <= peer @ scaled @ peer + 1e-9
        assert ours @ scaled @ ours == pytest.approx(peer @ scaled @ peer, abs=1e-3)


def test_opposed_and_vanishing_gradients() -> None:
    np.testing.assert_allclose(min_norm_weights(np.array([[1.0, -2.0], [-2.0, 4.0]])), [2 / 3, 1 / 3], atol=1e-9)
    assert min_norm_weights(np.zeros((3, 3))).sum() == pytest.approx(1)
    np.testing.assert_allclose(min_norm_weights(np.array([[4.0]])), [1.0])


@pytest.mark.parametrize("gramian", gramians())
def test_projection_onto_the_dual_cone_satisfies_its_optimality_conditions(gramian: np.ndarray) -> None:
    u = np.random.default_rng(2).dirichlet(np.ones(len(gramian)))
    v = dual_cone_weights(u, gramian)
    scaled = unit_scale(gramian)
    assert (v >= u - 1e-12).all()
    assert (scaled @ v >= -1e-6).all()  # no conflict with any gradient
    assert (v - u) @ scaled @ v == pytest.approx(0, abs=1e-6)  # complementarity: it is the nearest such


def test_a_combination_without_conflict_is_left_alone() -> None:
    np.testing.assert_array_equal(dual_cone_weights(np.array([0.5, 0.5]), np.eye(2)), [0.5, 0.5])
