"""Pareto MTL by hand."""

from __future__ import annotations

import math

import numpy as np
import torch

from moframework.objectives.pareto_mtl import ParetoMTL, sector_weights

# Unit rays of λ = (.8, .2), (.5, .5), (.2, .8), as published (`direction: preference`).
UNITS = np.array([[0.8, 0.2], [0.5, 0.5], [0.2, 0.8]])
UNITS = UNITS / np.linalg.norm(UNITS, axis=1, keepdims=True)


def test_inside_its_sector_a_row_takes_the_shortest_combination() -> None:
    weights, arrived = sector_weights(np.array([1.0, 1.0]), np.diag([1.0, 4.0]), UNITS - UNITS[1])
    np.testing.assert_allclose(weights, [0.8, 0.2], atol=1e-9)
    assert arrived


def test_one_violated_constraint_is_descended_alone_in_the_search() -> None:
    # L = (1, .2) lies near ray 0, so row 1 violates (u_0 − u_1)·L ≤ 0 and no other.
    difference = UNITS[0] - UNITS[1]
    weights, arrived = sector_weights(np.array([1.0, 0.2]), np.eye(2), UNITS - UNITS[1], arrived=False)
    np.testing.assert_allclose(weights, difference, atol=1e-9)
    assert not arrived
    assert weights[0] > 0 > weights[1]  # task 1 down, task 2 up: towards ray 1


def test_after_the_search_losses_and_violated_constraints_share_the_shortest_combination() -> None:
    difference = UNITS[0] - UNITS[1]
    rows = np.vstack([np.eye(2), difference])
    weights, _ = sector_weights(np.array([1.0, 0.2]), np.eye(2), UNITS - UNITS[1], arrived=True)
    # By hand: over conv{(1,0), (0,1), d}, d_1 > 0 > d_2, the nearest point to 0 lies on the edge from d to (0, 1).
    edge = np.array([0.0, 1.0]) - difference
    share = -(difference @ edge) / (edge @ edge)
    shortest = difference + share * edge
    np.testing.assert_allclose(weights, shortest / np.abs(shortest).sum(), atol=1e-8)
    assert (rows @ shortest >= shortest @ shortest - 1e-9).all()  # a descent direction for all three


def test_the_search_ends_when_a_row_arrives_and_does_not_start_again() -> None:
    objective = ParetoMTL(direction="preference")
    state = objective.build(2, 3)
    preferences = torch.tensor([[0.8, 0.2], [0.5, 0.5], [0.2, 0.8]])
    gramians = torch.eye(2).repeat(3, 1, 1)
    first = objective.weights(torch.tensor([[1.0, 0.2], [1.0, 0.2], [0.2, 1.0]]), preferences, gramians, state)
    assert state.arrived.tolist() == [True, False, True]
    torch.testing.assert_close(first[1].double(), torch.from_numpy(UNITS[0] - UNITS[1]))
    objective.weights(torch.tensor([[1.0, 0.2], [1.0, 1.0], [0.2, 1.0]]), preferences, gramians, state)
    assert state.arrived.tolist() == [True, True, True]
    again = objective.weights(torch.tensor([[1.0, 0.2], [1.0, 0.2], [0.2, 1.0]]), preferences, gramians, state)
    torch.testing.assert_close(again.abs().sum(dim=1), torch.ones(3))


def test_the_search_is_given_up_after_its_epochs() -> None:
    objective = ParetoMTL(direction="preference", search_epochs=1)
    state = objective.build(2, 2)
    args = (
        torch.tensor([[0.1, 1.0], [1.0, 0.1]]),
        torch.tensor([[0.9, 0.1], [0.1, 0.9]]),
        torch.eye(2).repeat(2, 1, 1),
    )
    objective.weights(*args, state)
    assert not state.arrived.any()
    objective.epoch_ended(state)
    objective.weights(*args, state)
    assert state.arrived.all()


def test_by_default_a_larger_preference_means_a_smaller_loss() -> None:
    objective = ParetoMTL()
    state = objective.build(2, 2)
    objective.weights(
        torch.tensor([[0.1, 1.0], [1.0, 0.1]]),
        torch.tensor([[0.9, 0.1], [0.1, 0.9]]),
        torch.eye(2).repeat(2, 1, 1),
        state,
    )
    assert state.arrived.all()


def test_one_preference_has_no_sector_and_a_broken_row_goes_through() -> None:
    assert ParetoMTL().faults(2, 1) == ["sectors lie between the preferences of a step: there must be at least 2"]
    state = ParetoMTL().build(2, 2)
    losses = torch.tensor([[math.nan, 1.0], [1.0, 0.1]])
    found = ParetoMTL().weights(losses, torch.tensor([[0.9, 0.1], [0.1, 0.9]]), torch.eye(2).repeat(2, 1, 1), state)
    assert bool(found[0].isnan().all())
    assert bool(found[1].isfinite().all())
