"""A weight space over a part of another one's simplex."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from moframework import ParetoModel
from moframework.backbones.mlp import MLP
from moframework.config.options import OptionError
from moframework.errors import RunError, SpecError
from moframework.export.adapters import save_adapters
from moframework.export.tensors import sum_of
from moframework.model import Recipe
from moframework.weights import WeightSpaceConfig
from moframework.weights.conditioned import Conditioned
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.finite import Finite
from moframework.weights.hypernetwork import Hypernetwork
from moframework.weights.low_rank import LowRank
from moframework.weights.restricted import Restricted, RestrictedSpace

VERTICES = torch.tensor([[1.0, 0.0], [0.25, 0.75]])
LAMBDA, INSIDE = torch.tensor([0.5, 0.5]), torch.tensor([0.625, 0.375])
SPACES = {
    "low rank": LowRank(rank=2),
    "hull": ConvexHull(),
    "hyper": Hypernetwork(hidden=(4,)),
    "joined": Conditioned(),
}


def model_of(weights: WeightSpaceConfig) -> ParetoModel:
    torch.manual_seed(0)
    recipe = Recipe(
        tasks=("a", "b"), backbone=MLP(hidden=(5,)), input_shape=(3,), outputs={"a": 2, "b": 1}, weights=weights
    )
    model = ParetoModel(recipe)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize("name", SPACES)
def test_every_way_through_a_restricted_model_is_the_way_at_the_other_preference(name: str, tmp_path: Path) -> None:
    model, x = model_of(SPACES[name]), torch.randn(4, 3)
    expected = model(x, INSIDE)
    rows = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.5, 0.5]])
    each = model(x, rows @ VERTICES)
    model.restrict(VERTICES)
    model.save(tmp_path)
    for own in (model, ParetoModel.load(tmp_path)):
        for given in (LAMBDA, [1, 1]):
            assert own(x, given)["a"].equal(expected["a"])
        assert own.at(LAMBDA)(x)["b"].allclose(expected["b"], atol=1e-6)
        assert own(x, rows)["a"].allclose(each["a"], atol=1e-6)
        assert own.how_mixed().startswith("one pass" if name != "hyper" else "one pass for each")
        assert isinstance(own.space, RestrictedSpace)


def test_a_part_of_a_part() -> None:
    model, x = model_of(ConvexHull()), torch.randn(4, 3)
    expected = model(x, [0.25, 0.75])["a"], model(x, [0.625, 0.375])["a"]
    model.restrict(VERTICES)
    model.restrict(torch.tensor([[0.5, 0.5], [0.0, 1.0]]))
    assert model(x, [0, 1])["a"].equal(expected[0])
    assert model(x, [1, 0])["a"].equal(expected[1])
    weights = model.recipe.weights
    assert isinstance(weights, Restricted)
    assert weights.space == ConvexHull()


def test_a_sum_of_tensors_is_exported_and_adapters_of_peft_are_refused(tmp_path: Path) -> None:
    model = model_of(LowRank(rank=2))
    expected = model.weights(torch.tensor([0.25, 0.75]))
    model.restrict(VERTICES)
    tensors = sum_of(model).tensors
    own = {name.removeprefix("b/"): value for name, value in tensors.items() if name.startswith("b/")}
    assert own
    assert all(torch.allclose(value, expected[name]) for name, value in own.items())
    with pytest.raises(RunError, match="the dial of this model is limited by constraints"):
        save_adapters(model, tmp_path / "adapters")


def test_it_trains_as_the_space_inside() -> None:
    torch.manual_seed(0)
    inner = LowRank(rank=2, orthogonal=1.0)
    space = Restricted(space=inner, vertices=((1, 0), (0.25, 0.75))).build(lambda: torch.nn.Linear(3, 2), 2, None)
    plain = space.space
    assert isinstance(space, RestrictedSpace)
    groups = [(group["name"], group["lr"]) for group in space.parameter_groups(0.1)]
    assert groups == [(group["name"], group["lr"]) for group in plain.parameter_groups(0.1)]
    assert [names for names, _ in space.named_storage()] == [names for names, _ in plain.named_storage()]
    assert torch.equal(_scalar(space.penalty()), _scalar(plain.penalty()))
    for one, other in zip(space.weights_of(LAMBDA[None]), plain.weights_of(INSIDE[None]), strict=True):
        assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert space.anchors() is None


def _scalar(value: Tensor | None) -> Tensor:
    assert value is not None
    return value


@pytest.mark.parametrize("rows", [((1.0, 0.0), (0.5, 0.6)), ((1.0, 0.0), (-0.5, 1.5)), ((1.0, 0.0),)])
def test_vertices_that_are_none(rows: tuple[tuple[float, ...], ...]) -> None:
    with pytest.raises(OptionError, match=r"vertices are . preferences of . numbers that are not negative and add up"):
        Restricted(space=ConvexHull(), vertices=rows)


def test_spaces_that_have_no_such_part() -> None:
    model = model_of(Finite(anchors=((1.0, 0.0), (0.0, 1.0))))
    with pytest.raises(SpecError, match="finite set of preferences, which has no part"):
        model.restrict(VERTICES)
    three = Restricted(space=ConvexHull(), vertices=((1, 0), (0, 1)))
    with pytest.raises(SpecError, match="are of 2 tasks; the problem has 3"):
        three.build(lambda: torch.nn.Linear(3, 2), 3, None)
