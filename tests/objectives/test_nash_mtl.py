"""The bargaining solution against its defining equation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from moframework.engine.acceleration.cuda_graph import HostWatch
from moframework.objectives import nash_mtl
from moframework.objectives.nash_mtl import NashMTL, nash_weights


@pytest.mark.parametrize("m", [1, 2, 3, 7])
def test_satisfies_its_equation(m: int) -> None:
    generator = np.random.default_rng(m)
    for _ in range(10):
        jacobian = generator.normal(size=(m, 12)) * 10.0 ** generator.uniform(-3, 3, size=(m, 1))
        gramian = jacobian @ jacobian.T
        alpha = nash_weights(gramian)
        assert (alpha > 0).all()
        ridge = 1e-8 * np.linalg.norm(gramian) * np.eye(m)
        np.testing.assert_allclose((gramian + ridge) @ alpha * alpha, 1.0, atol=1e-6)


def test_orthogonal_gradients_have_a_closed_form() -> None:
    gramian = np.diag([4.0, 1.0, 0.25])
    np.testing.assert_allclose(nash_weights(gramian), [0.5, 1.0, 2.0], rtol=1e-6)


def test_two_tasks_have_a_closed_form() -> None:
    # With unit gradients at cosine c both weights are equal, and α²(1 + c) = 1.
    for c in (-0.5, 0.0, 0.9):
        gramian = np.array([[1.0, c], [c, 1.0]])
        np.testing.assert_allclose(nash_weights(gramian), [1 / np.sqrt(1 + c)] * 2, rtol=1e-6)


def test_the_combined_gradient_is_cut_to_max_norm() -> None:
    gramian = np.array([[9.0, 1.0], [1.0, 4.0]])
    free, cut = nash_weights(gramian), nash_weights(gramian, 1.0)
    assert np.sqrt(cut @ gramian @ cut) == pytest.approx(1.0)
    np.testing.assert_allclose(cut / cut.sum(), free / free.sum())
    assert np.sqrt(free @ gramian @ free) == pytest.approx(np.sqrt(2))
    np.testing.assert_array_equal(nash_weights(gramian, 2.0), free)


def test_degenerate_gradients_stay_finite() -> None:
    for gramian in (np.zeros((2, 2)), np.array([[1.0, -1.0], [-1.0, 1.0]]), np.diag([1.0, 0.0])):
        assert np.isfinite(nash_weights(gramian)).all()


def test_a_preference_tilts_and_equal_ones_give_the_method_itself() -> None:
    gramians = torch.tensor([[[9.0, 1.0], [1.0, 4.0]]], dtype=torch.float64)
    losses = torch.ones(1, 2, dtype=torch.float64)
    plain = torch.from_numpy(nash_weights(gramians[0].numpy(), 1.0))
    even = NashMTL().weights(losses, torch.tensor([[0.5, 0.5]], dtype=torch.float64), gramians)
    torch.testing.assert_close(even[0], plain)
    tilted = NashMTL().weights(losses, torch.tensor([[0.8, 0.2]], dtype=torch.float64), gramians)
    torch.testing.assert_close(tilted[0], plain * torch.tensor([1.6, 0.4], dtype=torch.float64))


@pytest.mark.parametrize("max_norm", [None, 1.0])
def test_two_tasks_are_solved_where_they_are(max_norm: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the weights that Newton's method finds, for gradients of any scale, at any angle, opposed, alike or absent,
    and nothing of it on the host."""
    generator = np.random.default_rng(0)
    jacobians = [generator.normal(size=(2, 12)) * 10.0 ** generator.uniform(-3, 3, size=(2, 1)) for _ in range(20)]
    gramians = [j @ j.T for j in jacobians]
    gramians += [np.zeros((2, 2)), np.array([[1.0, -1.0], [-1.0, 1.0]]), np.ones((2, 2)), np.diag([1.0, 0.0])]
    expected = np.stack([nash_weights(gramian, max_norm) for gramian in gramians])
    monkeypatch.setattr(nash_mtl, "solved_on_host", None)
    r = len(gramians)
    given = torch.from_numpy(np.stack(gramians)), torch.full((r, 2), 0.5), torch.ones(r, 2, dtype=torch.float64)
    found = NashMTL(max_norm=max_norm).weights(given[2], given[1], given[0])
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_two_tasks_can_be_part_of_a_recorded_step() -> None:
    meta = torch.device("meta")
    with HostWatch() as watch:
        NashMTL().weights(
            torch.ones(3, 2, device=meta), torch.ones(3, 2, device=meta), torch.ones(3, 2, 2, device=meta)
        )
    assert watch.found is None


def test_gradients_that_are_no_numbers_give_weights_that_are_none() -> None:
    gramians = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[float("nan"), 0.0], [0.0, 1.0]]])
    found = NashMTL().weights(torch.ones(2, 2), torch.full((2, 2), 0.5), gramians)
    assert torch.isfinite(found[0]).all()
    assert torch.isnan(found[1]).all()


def test_agrees_with_the_published_sequence_of_convex_programs() -> None:
    # NashMTL(3, max_norm=…, optim_niter=2000).weighting(J) of TorchJD 0.18.0, cvxpy 1.9.3, ecos 2.0.14, float64, with
    # J = ((1, 2, 0), (0, 1, −3), (2, −1, 1)); that solver stops at a residual of 1e-3 or a step of 1e-6.
    gramian = np.array([[5.0, 2.0, 0.0], [2.0, 10.0, -4.0], [0.0, -4.0, 6.0]])
    np.testing.assert_allclose(nash_weights(gramian), [0.374282577, 0.400182625, 0.562883069], atol=2e-6)
    np.testing.assert_allclose(nash_weights(gramian, 1.0), [0.216092146, 0.231045546, 0.324980691], atol=2e-6)
