"""`ParetoModel`: any module, unmodified; operating points; on disk and back."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader, TensorDataset

from moframework import ParetoModel
from moframework.backbones.base import Backbone
from moframework.backbones.lenet import LeNet
from moframework.config import config
from moframework.errors import DataError, RunError
from moframework.model import Recipe, load_parameters
from moframework.weights import WeightSpaceConfig
from moframework.weights.conditioned import Conditioned
from moframework.weights.convex_hull import ConvexHull
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
    given = torch.tensor([1, 3], dtype=torch.bfloat16)
    torch.testing.assert_close(made.at(given)(x)["left"], made.at([0.25, 0.75])(x)["left"])
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


@config
class NormNet(Backbone):
    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        return nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 4), nn.BatchNorm1d(4, momentum=0.3)
        )


NORM: dict[str, Any] = {"backbone": NormNet(), "input_shape": (4,), "outputs": {"left": 4}}


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


class TestRecurrent:
    def test_weights_beside_the_parameters_are_right_in_training_too(self) -> None:
        network = nn.LSTM(3, 2)
        made = model(ConvexHull(), backbone=LSTM(), input_shape=(5, 3), outputs={"left": 2}).train()
        x = torch.randn(4, 5, 3)
        outputs = made(x, torch.tensor([0.5, 0.5]))["left"]
        outputs.sum().backward()
        copied = made.at([1, 1])  # while a graph of the last forward pass is alive
        network.load_state_dict({name.removeprefix("cell."): v for name, v in copied.state_dict().items()})
        torch.testing.assert_close(network(x)[0], outputs)
        torch.testing.assert_close(made.double().at([1, 1])(x.double()), outputs.double(), rtol=1e-4, atol=1e-5)


class First(nn.Module):
    """The outputs of an LSTM without its state."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.cell(x)[0]
        return result


@config
class LSTM(Backbone):
    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        return First()


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


def test_frozen_batch_norm_keeps_the_statistics_it_starts_with() -> None:
    @config
    class Half(Backbone):
        """Two BatchNorm layers, the first frozen."""

        def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
            network = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2), nn.BatchNorm1d(2))
            network[0].requires_grad_(False)
            return network

    initial = {"0.running_mean": torch.tensor([1.0, 2.0, 3.0]), "0.running_var": torch.full((3,), 4.0)}
    made = ParetoModel(recipe(LowRank(rank=1), Half(), input_shape=(3,), outputs={"y": 2}), initial)
    x, preference = torch.randn(8, 3), torch.tensor([0.5, 0.5])
    for model in (made, copy.deepcopy(made).train(), copy.deepcopy(made.eval()).train()):
        seen: list[Tensor] = []
        model.skeleton[1].register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0]))
        model.train()(x, preference)
        torch.testing.assert_close(seen[0], (x - initial["0.running_mean"]) / 2)
        assert torch.equal(model.skeleton[0].running_mean, initial["0.running_mean"])
        assert not torch.equal(model.skeleton[2].running_mean, torch.zeros(2))
    found = made.batch_statistics(preference.unsqueeze(0), [x])
    assert set(found[0]) == {"2.running_mean", "2.running_var", "2.num_batches_tracked"}
