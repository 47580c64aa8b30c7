"""One operating point as a plain network: merging, preferences, BatchNorm statistics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader, TensorDataset

from moframework import ParetoModel
from moframework.errors import PreferenceError, RequestError
from moframework.weights import WeightSpaceConfig
from moframework.weights.conditioned import Conditioned
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.low_rank import LowRank
from tests.model.networks import ANCHORS, NORM, ODD, model


@pytest.mark.parametrize("weights", [LowRank(rank=1), LowRank(rank=2, conv="peft"), ANCHORS])
@pytest.mark.parametrize("options", [{}, ODD])
def test_the_network_at_a_preference_gives_what_forward_gives(
    weights: WeightSpaceConfig, options: dict[str, Any]
) -> None:
    made = model(weights, **options)
    x = torch.randn(5, *made.recipe.input_shape)
    outputs = made(x, torch.tensor([0.3, 0.7]))
    network = made.at([0.3, 0.7])
    plain = network(x)
    for i, key in enumerate(made.recipe.outputs):
        torch.testing.assert_close(plain[key] if isinstance(plain, Mapping) else plain[i], outputs[key])
    assert not any(type(m).__module__.startswith("moframework.model") for m in network.modules())
    assert set(network.state_dict()) == set(made.recipe.make().state_dict())


def test_ties_buffers_and_frozen_parameters_survive_merging() -> None:
    made = model(LowRank(rank=1), **ODD)
    made.skeleton.norm.running_mean.fill_(3.0)
    network = made.at([0.5, 0.5])
    assert network.second.weight is network.first.weight
    assert not network.frozen.requires_grad
    assert bool((network.norm.running_mean == 3.0).all())
    network.norm.running_mean.zero_()
    assert bool((made.skeleton.norm.running_mean == 3.0).all())
    with torch.no_grad():
        network.first.weight.zero_()
    assert bool(made.weights(torch.tensor([0.5, 0.5]))["first.weight"].any())


def test_preferences_are_scaled_and_checked() -> None:
    made = model()
    x = torch.randn(1, 1, 20, 20)
    torch.testing.assert_close(made.at([1, 3])(x)["left"], made.at([0.25, 0.75])(x)["left"])
    given = torch.tensor([1, 3], dtype=torch.bfloat16)
    torch.testing.assert_close(made.at(given)(x)["left"], made.at([0.25, 0.75])(x)["left"])
    by_name = made.at({"right": 3, "left": 1})
    torch.testing.assert_close(by_name(x)["left"], made.at([0.25, 0.75])(x)["left"])
    torch.testing.assert_close(made.eval()(x, {"right": 3, "left": 1})["left"], by_name(x)["left"])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ([1.0], r"has 2 numbers, one for each of left, right; got \[1.0\]$"),
        ([0.5, 0.25, 0.25], r"has 2 numbers, one for each of left, right; got \[0.5, 0.25, 0.25\]$"),
        ([-0.1, 1.1], r"is non-negative and not all zero; got \[-0.1, 1.1\]$"),
        (torch.tensor([-0.1, 1.1]), r"got \[-0.1, 1.1\]$"),
        ([0.0, 0.0], "is non-negative and not all zero"),
        ([float("nan"), 1.0], r"the numbers of a preference are finite, also in 32 bits, .*; got \[nan, 1.0\]$"),
        ([1e300, 1.0], "are finite, also in 32 bits"),
        ([3e38, 3e38], "and so is their sum"),
        (["1", "1"], r"got \['1', '1'\]$"),
        ("0.5,0.5", r"has 2 numbers, .*, such as \[0.5, 0.5\]; got '0.5,0.5'$"),
        (["half", 1], r"such as \[0.5, 0.5\]; got \['half', 1\]$"),
        (None, "got None"),
        (object(), "got <object"),
        ({"left": 1, "rihgt": 1}, "no task 'rihgt': did you mean 'right'.* left, right$"),
        ({"left": 1}, "a number for each task, but none for right"),
        ({"left": 1, "right": "x"}, "got {'left': 1, 'right': 'x'}"),
    ],
)
def test_what_is_no_preference_is_one_error_everywhere(wrong: Any, words: str) -> None:
    made = model().eval()
    for use in (made.at, made.checked, lambda given: made(torch.randn(1, 1, 20, 20), given)):
        with pytest.raises(PreferenceError, match=words):
            use(wrong)
    assert issubclass(PreferenceError, RequestError)
    assert issubclass(PreferenceError, ValueError)


class TestCalibration:
    def test_statistics_are_those_of_the_merged_network(self) -> None:
        made = model(ConvexHull(), **NORM)
        batches = [torch.randn(16, 4) + 2 for _ in range(3)]
        network = made.at([0.2, 0.8], calibrate=batches)
        expected = made.at([0.2, 0.8])
        expected[2].p = 0.0  # dropout is off, as when the network is used
        update_bn(batches, expected)  # torch's own, for any network
        assert network.state_dict().keys() == expected.state_dict().keys()
        expected_state = expected.state_dict()
        for name, value in network.state_dict().items():
            torch.testing.assert_close(value, expected_state[name])
        assert float((network[1].running_mean - made.skeleton[1].running_mean).abs().max()) > 0.1

    def test_the_model_is_left_as_it_was(self) -> None:
        made = model(ConvexHull(), **NORM).train()
        before = {name: value.clone() for name, value in made.state_dict().items()}
        made.at([0.2, 0.8], calibrate=[torch.randn(16, 4)])
        assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())
        assert all(module.training for module in made.modules())
        assert [made.skeleton[1].momentum, made.skeleton[4].momentum] == [0.1, 0.3]

    def test_batches_of_a_loader_will_do(self) -> None:
        made = model(ConvexHull(), **NORM)
        x = torch.randn(16, 4)
        loader = DataLoader(TensorDataset(x, torch.zeros(16)), batch_size=8)
        one, other = made.at([1, 1], calibrate=loader), made.at([1, 1], calibrate=x.split(8))
        assert torch.equal(one[4].running_var, other[4].running_var)

    def test_every_preference_gets_its_own(self) -> None:
        made = model(ConvexHull(), **NORM)
        preferences = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
        one, other, again = made.batch_statistics(preferences, [torch.randn(16, 4)])
        assert set(one) == {f"{i}.{k}" for i in (1, 4) for k in ("running_mean", "running_var", "num_batches_tracked")}
        assert not torch.allclose(one["4.running_mean"], other["4.running_mean"])
        assert all(torch.equal(one[name], again[name]) for name in one)

    def test_without_batches_or_without_layers(self) -> None:
        with pytest.raises(ValueError, match="at least one batch"):
            model(ConvexHull(), **NORM).at([1, 1], calibrate=[])
        made = model()
        x = torch.randn(2, 1, 20, 20)
        assert torch.equal(made.at([1, 1], calibrate=[x])(x)["left"], made.at([1, 1])(x)["left"])


class TestConditionedModel:
    def test_the_preference_is_baked_in(self, tmp_path: Path) -> None:
        made = model(Conditioned())
        network = made.at([1, 3])
        assert torch.equal(network.get_buffer("preference"), torch.tensor([0.25, 0.75]))
        x = torch.randn(2, 1, 20, 20)
        torch.testing.assert_close(network(x)["left"], made(x, torch.tensor([0.25, 0.75]))["left"])
        made.at([1, 1])
        assert torch.equal(network.get_buffer("preference"), torch.tensor([0.25, 0.75]))
        save_file(network.state_dict(), tmp_path / "network.safetensors")
        made.save(tmp_path)
        again = ParetoModel.load(tmp_path)
        assert torch.equal(again(x, torch.tensor([1.0, 0.0]))["left"], made(x, torch.tensor([1.0, 0.0]))["left"])
