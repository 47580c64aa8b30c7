"""Which point of a front a preference gets."""

from __future__ import annotations

import numpy as np
import pytest

from moframework.merging.quadratic import Quadratic
from moframework.merging.scalarized import Scalarized, best_at

ROWS = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])


def bowl(center: tuple[float, float], scale: float = 1.0) -> Quadratic:
    """scale · ‖c − center‖²."""
    x, y = center
    return Quadratic(scale * np.array([1, 0, 1, -2 * x, -2 * y, x * x + y * y]), "identity", 1.0)


def test_the_best_of_some_points() -> None:
    losses = np.array([[0.0, 1.0], [0.3, 0.8], [0.6, 0.6], [1.0, 0.0], [1.0, 0.9]])
    # (.6, .6) lies in a concave part: .5·.6 is the smallest maximum, and 1.2 is no smallest sum.
    assert best_at(ROWS, losses, "tchebycheff").tolist() == [0, 2, 3]
    assert best_at(ROWS, losses, "linear").tolist()[1] in (0, 3)
    # Of points that are equal in the largest term the one with the smaller sum.
    assert best_at(ROWS[:1], np.array([[0.2, 0.9], [0.2, 0.5]]), "tchebycheff").tolist() == [1]


@pytest.mark.parametrize("kind", ["tchebycheff", "linear"])
def test_between_two_bowls_by_hand(kind: str) -> None:
    """The front is the line from one center to the other, at s of the way losses s² and (1 − s)², whatever their
    scales: linear at λ, s = λ_2; Tchebycheff, λ_1 s² = λ_2 (1 − s)²."""
    made = Scalarized(fits=[bowl((1, 0)), bowl((0, 1), 50)], bound=3.0, kind=kind)  # type: ignore[arg-type]
    rows = np.array([[0.8, 0.2], [0.5, 0.5], [0.1, 0.9], [1.0, 0.0], [0.0, 1.0]])
    front = np.array([[0.9, 0.2], [0.4, 0.4], [0.1, 0.8]])
    found = made.coefficients(rows, front)
    roots = np.sqrt(rows)
    s = rows[:, 1] if kind == "linear" else roots[:, 1] / roots.sum(axis=1)
    np.testing.assert_allclose(found, np.stack([1 - s, s], axis=1), atol=0.02)


def test_coefficients_stay_inside_and_a_loss_without_spread_does_no_harm() -> None:
    made = Scalarized(fits=[bowl((5, 0)), bowl((5, 0))], bound=2.0, kind="tchebycheff")
    found = made.coefficients(ROWS, np.array([[1.0, 0.0], [1.9, 0.0]]))
    np.testing.assert_allclose(found, [[2, 0]] * 3, atol=1e-3)
    flat = Quadratic(np.array([0.0, 0, 0, 0, 0, 1]), "identity", 1.0)
    made = Scalarized(fits=[bowl((1, 0)), flat], bound=3.0, kind="tchebycheff")
    assert np.isfinite(made.coefficients(ROWS, np.array([[0.5, 0.5], [0.9, 0.0]]))).all()
