"""`ParetoModel`: any module, unmodified; operating points; on disk and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from moframework import ParetoModel
from moframework.backbones.base import Backbone
from moframework.backbones.lenet import LeNet
from moframework.config import config
from moframework.errors import DataError, RunError
from moframework.model import Recipe, load_parameters
from moframework.weights import WeightSpaceConfig
from moframework.weights.finite import Finite
from moframework.weights.low_rank import LowRank


def recipe(weights: WeightSpaceConfig | None = None, backbone: Backbone | None = None, **changes: Any) -> Recipe:
    parts: dict[str, Any] = {
        "tasks": ("left", "right"),
        "backbone": LeNet() if backbone is None else backbone,
        "input_shape": (1, 20, 20),
        "outputs": {"left": 10, "right": 10},
        "weights": LowRank(rank=1) if weights is None else weights,
    }
    return Recipe(**{**parts, **changes})


def model(*args: Any, **changes: Any) -> ParetoModel:
    made = ParetoModel(recipe(*args, **changes))
    with torch.no_grad():
        for parameter in made.space.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return made.eval()


class Odd(nn.Module):
    """Tied weights, buffers, a frozen parameter, a module without parameters, and a tuple of outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.5)
        self.second = nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight
        self.frozen = nn.Parameter(torch.ones(4), requires_grad=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.drop(self.norm(self.first(x))) * self.frozen
        return x, self.second(x)


@config
class OddNet(Backbone):
    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        return Odd()


ODD: dict[str, Any] = {"backbone": OddNet(), "input_shape": (4,), "outputs": {"left": 4, "right": 4}}
ANCHORS = Finite(anchors=((1.0, 0.0), (0.3, 0.7), (0.0, 1.0)))


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
    assert type(network).__module__ != "moframework.model"
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


def test_training_updates_shared_running_statistics() -> None:
    made = ParetoModel(recipe(**ODD)).train()
    made(torch.randn(8, 4) + 5, torch.tensor([0.5, 0.5]))
    assert bool((made.skeleton.norm.running_mean != 0).any())


def test_parameters_are_those_of_the_space_alone() -> None:
    made = model()
    assert {id(p) for p in made.parameters()} == {id(p) for p in made.space.parameters()}


def test_lenet_overhead_at_rank_1() -> None:
    made = ParetoModel(recipe(LowRank(rank=1), input_shape=(1, 28, 28)))
    count = sum(p.numel() for p in made.parameters())
    # 2 · (conv1 275 + conv2 750 + fc 370 + heads 2·(100 + 60)): the published formula on the published network
    assert count == 27450 + 3430


def test_preferences_are_scaled_and_checked() -> None:
    made = model()
    x = torch.randn(1, 1, 20, 20)
    torch.testing.assert_close(made.at([1, 3])(x)["left"], made.at([0.25, 0.75])(x)["left"])
    for wrong in ([1.0], [0.5, 0.25, 0.25], [-0.1, 1.1], [0.0, 0.0], [float("nan"), 1.0]):
        with pytest.raises(ValueError, match="preference"):
            made.at(wrong)


@pytest.mark.parametrize(("weights", "options"), [(LowRank(rank=2), {}), (ANCHORS, {}), (LowRank(), ODD)])
def test_saved_and_loaded_is_the_same(tmp_path: Path, weights: WeightSpaceConfig, options: dict[str, Any]) -> None:
    made = model(weights, **options)
    made.save(tmp_path / "model")
    state = torch.get_rng_state()
    again = ParetoModel.load(tmp_path / "model")
    assert torch.equal(torch.get_rng_state(), state)
    x = torch.randn(3, *made.recipe.input_shape)
    for preference in ([1.0, 0.0], [0.3, 0.7]):
        for key, value in made(x, torch.tensor(preference)).items():
            assert torch.equal(again(x, torch.tensor(preference))[key], value)
    assert again.recipe == made.recipe
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["model.json", "model.safetensors"]


def test_channels_last_weights_are_saved_too(tmp_path: Path) -> None:
    made = model().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    made.save(tmp_path)
    x = torch.randn(2, 1, 20, 20)
    preference = torch.tensor([0.5, 0.5])
    torch.testing.assert_close(ParetoModel.load(tmp_path)(x, preference)["left"], made(x, preference)["left"])


def test_loading_what_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no model"):
        ParetoModel.load(tmp_path)
    model().save(tmp_path)
    stored = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**stored, "format": 99}))
    with pytest.raises(RunError, match="format 99"):
        ParetoModel.load(tmp_path)


class TestLoadParameters:
    @staticmethod
    def network() -> nn.Module:
        return recipe().make()

    @pytest.mark.parametrize("kind", ["safetensors", "pt", "nested", "run"])
    def test_every_form(self, tmp_path: Path, kind: str) -> None:
        network = self.network()
        state = network.state_dict()
        if kind == "safetensors":
            path = tmp_path / "net.safetensors"
            save_file(state, path)
        elif kind == "run":
            path = tmp_path / "run"
            ParetoModel(recipe(), state).save(path / "model")
        else:
            path = tmp_path / "net.pt"
            torch.save(state if kind == "pt" else {"state_dict": state, "epoch": 3}, path)
        for name, value in load_parameters(path, self.network()).items():
            assert torch.equal(value, state[name])

    def test_a_model_starts_at_the_checkpoint(self) -> None:
        network = self.network()
        made = ParetoModel(recipe(), network.state_dict())
        x = torch.randn(2, 1, 20, 20)
        torch.testing.assert_close(made(x, torch.tensor([0.1, 0.9]))["right"], network(x)["right"])

    def test_what_does_not_fit_is_listed(self, tmp_path: Path) -> None:
        state = self.network().state_dict()
        first, second = list(state)[:2]
        wrong = {**state, first: torch.zeros(3), "extra": torch.zeros(1)}
        del wrong[second]
        torch.save(wrong, tmp_path / "net.pt")
        with pytest.raises(
            DataError, match=rf"{first} has shape \(3,\).*{second} is missing.*extra is not in the network"
        ):
            load_parameters(tmp_path / "net.pt", self.network())

    def test_files_that_are_no_state_dicts(self, tmp_path: Path) -> None:
        (tmp_path / "net.pt").write_bytes(b"nothing")
        (tmp_path / "net.safetensors").write_bytes(b"nothing")
        for path, words in (("net.pt", "more than tensors"), ("net.safetensors", "not a safetensors"), ("no", "exist")):
            with pytest.raises(DataError, match=words):
                load_parameters(tmp_path / path, self.network())
