"""Objectives given as plain functions, and what all of them promise."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from moframework.config.structure import build, unstructure
from moframework.errors import MoframeworkError
from moframework.objectives import Aggregation, FeatureAggregation, Objective, Scalarization, Weighting

LOSSES = torch.tensor([[1.0, 2.0], [3.0, 0.5]])
PREFERENCES = torch.tensor([[0.25, 0.75], [0.6, 0.4]])


def augmented(losses: Tensor, preference: Tensor, *, rho: float = 0.05) -> Tensor:
    """Augmented Tchebycheff. rho: weight of the plain sum"""
    return (preference * losses).max() + rho * losses.sum()


def spread(losses: Tensor, preferences: Tensor, *, power: int = 2) -> Tensor:
    """Values of all rows, which know of each other."""
    return (losses * preferences).sum(dim=1) ** power - losses.mean()


def test_a_function_of_one_preference_is_a_separable_scalarization() -> None:
    made = Objective.adopt(augmented, "test")
    assert issubclass(made, Scalarization)
    assert made.separable
    objective = made(rho=0.1)
    by_hand = ((1.5 + 0.1 * 3.0) + (1.8 + 0.1 * 3.5)) / 2
    assert float(objective(LOSSES, PREFERENCES)) == pytest.approx(by_hand)
    assert made is Objective.adopt(augmented, "again")


def test_a_function_of_all_preferences_is_not_separable_and_its_values_are_averaged() -> None:
    made = Objective.adopt(spread, "test")
    assert not made.separable
    by_hand = ((0.25 + 1.5) ** 2 + (1.8 + 0.2) ** 2) / 2 - 6.5 / 4
    assert float(made()(LOSSES, PREFERENCES)) == pytest.approx(by_hand)


def test_a_function_is_named_in_a_spec_with_its_options() -> None:
    written = {"python": f"{__name__}:augmented", "rho": 0.5}
    objective = build(Objective, written, trust=True)
    assert objective.rho == 0.5
    assert build(Objective, {"python": f"{__name__}:augmented"}, trust=True).rho == 0.05
    with pytest.raises(MoframeworkError, match="rho"):
        build(Objective, {"python": f"{__name__}:augmented", "rhoo": 0.5}, trust=True)


def test_functions_that_are_no_objectives_are_refused_with_the_form() -> None:
    def swapped(preferences: Tensor, losses: Tensor) -> Tensor:
        return losses

    with pytest.raises(MoframeworkError, match=r"losses and preference .*swapped are \(preferences, losses\)"):
        Objective.from_function(swapped)

    def anything(losses: Tensor, preferences: Tensor, **options: float) -> Tensor:
        return losses

    with pytest.raises(MoframeworkError, match="options"):
        Objective.from_function(anything)


def test_a_function_that_returns_the_wrong_shape_is_told_so() -> None:
    def matrix(losses: Tensor, preferences: Tensor) -> Tensor:
        return losses * preferences

    def row(losses: Tensor, preference: Tensor) -> Tensor:
        return losses * preference

    with pytest.raises(ValueError, match=r"matrix must return a scalar or values \(2,\).*\(2, 2\)"):
        Objective.adopt(matrix, "test")()(LOSSES, PREFERENCES)
    with pytest.raises(ValueError, match=r"row must return a scalar.*\(2,\)"):
        Objective.adopt(row, "test")()(LOSSES, PREFERENCES)


@pytest.mark.parametrize("name", Objective.names())
def test_every_registered_objective_is_of_one_form_and_survives_a_round_trip(name: str) -> None:
    objective = build(Objective, name)
    assert isinstance(objective, Scalarization | Weighting | Aggregation | FeatureAggregation)
    assert build(Objective, unstructure(objective)) == objective
    assert type(objective).__doc__


@pytest.mark.parametrize("name", Objective.names())
def test_building_a_state_leaves_the_random_numbers_alone(name: str) -> None:
    objective = build(Objective, name)
    if objective.faults(2, 3):
        pytest.skip(objective.faults(2, 3)[0])
    torch.manual_seed(0)
    objective.build(2, 3)
    one = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(one, torch.rand(1))


@pytest.mark.parametrize("name", Objective.names())
def test_the_value_is_a_mean_over_preferences(name: str) -> None:
    """Twice the same rows are worth the same, for whatever scalarizes each row alone and draws nothing."""
    objective = build(Objective, name)
    if not isinstance(objective, Scalarization) or not objective.separable or name == "rlw":
        return
    losses, preferences = LOSSES.double(), PREFERENCES.double()
    states = [objective.build(2, r) for r in (2, 4, 1, 1)]
    extra = [() if state is None else (state.double(),) for state in states]
    once = objective(losses, preferences, *extra[0])
    twice = objective(losses.repeat(2, 1), preferences.repeat(2, 1), *extra[1])
    alone = [objective(losses[j : j + 1], preferences[j : j + 1], *extra[2 + j]) for j in range(2)]
    torch.testing.assert_close(twice, once)
    torch.testing.assert_close(sum(alone) / 2, once)
