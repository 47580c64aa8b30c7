"""A model's folder: what is saved is loaded, and errors say what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from moframework import ParetoModel
from moframework.backbones.base import Backbone
from moframework.config import config
from moframework.errors import RequestError, RunError
from moframework.io.sealed import read_json, write_json
from moframework.weights import WeightSpaceConfig
from moframework.weights.low_rank import LowRank
from tests.model.networks import ANCHORS, ODD, model


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
    with pytest.raises(RequestError, match="holds no model"):
        ParetoModel.load(tmp_path)
    model().save(tmp_path)
    write_json(tmp_path / "model.json", {**read_json(tmp_path / "model.json", advice=""), "format": 99})
    with pytest.raises(RunError, match="format 99"):
        ParetoModel.load(tmp_path)


class Versioned(nn.Linear):
    """As torchvision's MNASNet: it must be told which version of it wrote a state."""

    _version = 2

    def __init__(self) -> None:
        super().__init__(4, 4)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *others: Any) -> None:
        if local_metadata.get("version") not in (1, 2):
            raise ValueError("version should be set to 1 or 2")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *others)


@config
class VersionedNet(Backbone):
    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        return nn.Sequential(Versioned(), nn.Linear(4, 4))


def test_layers_that_ask_for_the_version_of_a_state(tmp_path: Path) -> None:
    made = model(LowRank(rank=1), VersionedNet(), input_shape=(4,), outputs={"left": 4})
    made.save(tmp_path)
    again = ParetoModel.load(tmp_path)
    x = torch.randn(3, 4)
    torch.testing.assert_close(again(x, [0.3, 0.7]), made(x, [0.3, 0.7]))
    again.load_state_dict(dict(made.state_dict()))
