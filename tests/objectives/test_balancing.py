"""Balancings against hand-worked numbers."""

from __future__ import annotations

import pytest
import torch

from moframework.objectives.balancing import GradientBalancing, LossBalancing


def test_gradient_balancing_divides_by_norm_plus_xi() -> None:
    scales = GradientBalancing().scales(torch.tensor([5.0, 5.0]), torch.tensor([2.0, 0.0]), {})
    torch.testing.assert_close(scales, torch.tensor([1 / 2.001, 1000.0]))


def test_gradient_balancing_without_norms_is_an_error() -> None:
    with pytest.raises(ValueError, match="gradient_norms"):
        GradientBalancing().scales(torch.ones(2), None, {})


def test_loss_balancing_divides_by_the_mean_of_the_window() -> None:
    balancing = LossBalancing(window=2)
    state = balancing.initial_state(2)
    for row in ([9.0, 9.0], [1.0, 4.0], [3.0, 4.0]):
        state = balancing.updated(state, torch.tensor([row]))
    torch.testing.assert_close(balancing.scales(torch.ones(2), None, state), torch.tensor([0.5, 0.25]))


def test_loss_balancing_before_the_window_is_full_uses_what_was_seen() -> None:
    balancing = LossBalancing(window=10)
    state = balancing.initial_state(2)
    torch.testing.assert_close(balancing.scales(torch.tensor([2.0, 4.0]), None, state), torch.tensor([0.5, 0.25]))
    state = balancing.updated(state, torch.tensor([[1.0, 3.0], [3.0, 5.0]]))
    torch.testing.assert_close(balancing.scales(torch.tensor([7.0, 7.0]), None, state), torch.tensor([0.5, 0.25]))


def test_published_form_is_one_minus_the_share_after_the_window() -> None:
    balancing = LossBalancing(window=1, form="published")
    state = balancing.initial_state(2)
    state = balancing.updated(state, torch.tensor([[1.0, 3.0]]))
    torch.testing.assert_close(balancing.scales(torch.ones(2), None, state), torch.ones(2))
    state = balancing.updated(state, torch.tensor([[1.0, 3.0]]))
    torch.testing.assert_close(balancing.scales(torch.ones(2), None, state), torch.tensor([0.75, 0.25]))


def test_updating_leaves_the_old_state_alone() -> None:
    balancing = LossBalancing(window=2)
    state = balancing.initial_state(2)
    balancing.updated(state, torch.ones(1, 2))
    assert state["seen"].tolist() == [0, 0]
    assert not state["losses"].any()
