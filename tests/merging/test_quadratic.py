"""Quadratic surrogates and their front."""

from __future__ import annotations

import numpy as np
import pytest

from moframework.merging.quadratic import Quadratic, Search, monomials, needed


@pytest.mark.parametrize("link", ["identity", "softplus"])
@pytest.mark.parametrize("m", [2, 3])
def test_what_is_a_quadratic_is_found(link: str, m: int) -> None:
    drawn = np.random.default_rng(m)
    points, wanted = drawn.random((2 * needed(m), m)), drawn.normal(size=needed(m))
    values = monomials(points) @ wanted
    values = np.log1p(np.exp(values)) if link == "softplus" else values
    fit = Quadratic.fit(points, values, link)  # type: ignore[arg-type]
    np.testing.assert_allclose(fit.coefficients, wanted, atol=1e-5)
    assert fit.r2 == pytest.approx(1)
    far = 3 * drawn.random((4, m))
    exact = Quadratic(wanted, link, 1.0)  # type: ignore[arg-type]
    np.testing.assert_allclose(fit.at(far), exact.at(far), rtol=1e-4)
    for place in range(m):
        step = 1e-5 * np.eye(m)[place]
        between = (exact.at(far + step) - exact.at(far - step)) / 2e-5
        np.testing.assert_allclose(exact.slopes(far)[:, place], between, atol=1e-6)


def test_by_hand() -> None:
    """The parabola nearest to 0, 1, 0, 1 at 0, 1, 2, 3 is the line .2 + .2 c: residuals −.2, .6, −.6, .2, so of the
    variance 1 it leaves .8."""
    fit = Quadratic.fit(np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0.0, 1.0, 0.0, 1.0]), "identity")
    np.testing.assert_allclose(fit.coefficients, [0, 0.2, 0.2], atol=1e-12)
    assert fit.r2 == pytest.approx(0.2)
    assert Quadratic.fit(np.eye(2), np.ones(2), "identity").r2 == 1


def test_a_loss_of_zero_has_a_fit_through_softplus() -> None:
    points = np.linspace(0, 1, 6)[:, None]
    fit = Quadratic.fit(points, np.array([0.0, 0.0, 0.0, 0.1, 0.3, 0.6]), "softplus")
    assert np.isfinite(fit.coefficients).all()
    assert fit.r2 > 0.95


def test_the_front_of_two_bowls_is_the_line_between_them() -> None:
    centers = np.array([[1.0, 0.0], [0.0, 1.0]])

    def bowls(points: np.ndarray) -> np.ndarray:
        return np.square(points[:, None] - centers).sum(axis=2)

    found = Search().front(bowls, 2)
    assert len(found) > 80
    assert np.abs(found.sum(axis=1) - 1).max() < 0.1
    assert found.min() > -0.1
    assert np.ptp(found, axis=0) == pytest.approx([1, 1], abs=0.1)
    short = [Search(generations=10, seed=seed).front(bowls, 2) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(short[0], short[1])
    assert not np.array_equal(short[0][:9], short[2][:9])
