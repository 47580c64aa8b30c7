"""What a network starts with: weights from files, whole or of the encoder, and frozen parameters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from moframework import ParetoModel
from moframework.backbones.base import Backbone, Prepared
from moframework.backbones.starting import freeze, load_weights
from moframework.config import build, unstructure
from moframework.errors import DataError, SpecError
from moframework.model import Recipe
from moframework.weights.low_rank import LowRank

OUTPUTS = {"left": 3, "right": 2}


def backbone(**options: object) -> Backbone:
    return build(Backbone, {"name": "segnet", "width": 2, "stages": 2, **options})  # type: ignore[type-abstract]


def network(channels: int = 3, outputs: dict[str, int] = OUTPUTS) -> nn.Module:
    return backbone().build((channels, 8, 8), outputs)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_file_of_the_whole_network(suffix: str, tmp_path: Path) -> None:
    source, path = network(), tmp_path / f"weights{suffix}"
    state = source.state_dict()
    if suffix == ".pt":
        torch.save({"state_dict": state}, path)
    else:
        save_file(state, path)
    made = backbone(weights=str(path)).build((3, 8, 8), OUTPUTS)
    assert all(torch.equal(value, state[name]) for name, value in made.state_dict().items())


def test_a_file_of_the_encoder_leaves_the_heads_and_drops_a_classifier() -> None:
    source, made = network(), network()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    state = {**source.encoder.state_dict(), "fc.weight": torch.ones(2, 2)}  # type: ignore[union-attr]
    load_weights(made, state, "here")
    for name, value in made.state_dict().items():
        expected = source.state_dict() if name.startswith("encoder.") else before
        assert torch.equal(value, expected[name]), name


def test_heads_of_another_size_start_fresh_and_the_others_are_taken() -> None:
    source, made = network(outputs={"left": 3, "right": 5}), network()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    load_weights(made, source.state_dict(), "here")
    taken = {name for name, value in made.state_dict().items() if not torch.equal(value, before[name])}
    assert "heads.to_left.1.weight" in taken
    assert not any(name.startswith("heads.to_right") for name in taken)


def test_images_of_other_channels() -> None:
    source = network()
    kernel = source.state_dict()["encoder.down.0.0.0.weight"]
    wide, gray = network(channels=5), network(channels=1)
    further = wide.state_dict()["encoder.down.0.0.0.weight"][:, 3:].clone()
    load_weights(wide, source.state_dict(), "here")
    assert torch.equal(wide.state_dict()["encoder.down.0.0.0.weight"], torch.cat([kernel, further], dim=1))
    load_weights(gray, source.state_dict(), "here")
    image = torch.randn(2, 1, 8, 8)
    for key, value in source.eval()(image.expand(-1, 3, -1, -1)).items():
        torch.testing.assert_close(gray.eval()(image)[key], value)


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    state = network().encoder.state_dict()  # type: ignore[union-attr]
    state["down.0.0.0.weights"] = state.pop("down.0.0.0.weight")
    state["up.0.0.0.bias"] = torch.zeros(7)
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    words = (
        r"weights\.safetensors does not fit.*down\.0\.0\.0\.weight is missing \(it has encoder\.down\.0\.0\.0\.weights"
    )
    with pytest.raises(DataError, match=words):
        backbone(weights=str(path)).build((3, 8, 8), OUTPUTS)
    with pytest.raises(DataError, match=r"encoder\.up\.0\.0\.0\.bias has shape \(7,\), the network's is \(2,\)"):
        backbone(weights=str(path)).build((3, 8, 8), OUTPUTS)
    with pytest.raises(DataError, match=r"weights: .*none\.pt does not exist\. Give a \.safetensors file"):
        backbone(weights=str(tmp_path / "none.pt")).build((3, 8, 8), OUTPUTS)
    path.write_bytes(b"no tensors")
    with pytest.raises(DataError, match="not a safetensors file"):
        backbone(weights=str(path)).build((3, 8, 8), OUTPUTS)


def test_relative_paths_start_at_the_folder_of_the_spec(tmp_path: Path) -> None:
    save_file(network().state_dict(), tmp_path / "w.safetensors")
    given = {"name": "segnet", "width": 2, "stages": 2, "weights": "w.safetensors", "freeze": ["encoder.down", "heads"]}
    made = build(Backbone, given, base=tmp_path)  # type: ignore[type-abstract]
    written = unstructure(made)
    assert written == {**given, "weights": str(tmp_path / "w.safetensors")}
    assert build(Backbone, written) == made  # type: ignore[type-abstract]
    frozen = {name for name, p in made.build((3, 8, 8), OUTPUTS).named_parameters() if not p.requires_grad}
    assert frozen == {name for name, _ in network().named_parameters() if not name.startswith("encoder.up")}


def test_a_saved_model_needs_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(network().state_dict(), path)
    recipe = Recipe(
        tasks=("left", "right"),
        backbone=backbone(weights=str(path), freeze="encoder"),
        input_shape=(3, 8, 8),
        outputs=OUTPUTS,
        weights=LowRank(rank=1),
    )
    model = ParetoModel(recipe).eval()
    model.save(tmp_path / "model")
    path.unlink()
    again = ParetoModel.load(tmp_path / "model")
    assert again.recipe.backbone == backbone(freeze="encoder")
    x, preference = torch.randn(2, 3, 8, 8), torch.tensor([0.3, 0.7])
    assert torch.equal(again(x, preference)["left"], model(x, preference)["left"])


def test_freezing_what_is_not_there() -> None:
    with pytest.raises(
        SpecError, match=r"called 'encoder\.dwn'; did you mean 'encoder\.down'\? Its parts: encoder, hea"
    ):
        freeze(network(), ["encoder.dwn"])
    with pytest.raises(SpecError, match="nothing is left to train"):
        freeze(network(), ["encoder", "heads"])


def test_any_backbone_can_be_prepared() -> None:
    made = build(Backbone, {"name": "lenet", "freeze": "encoder.conv1"})  # type: ignore[type-abstract]
    assert isinstance(made, Prepared)
    frozen = [n for n, p in made.build((1, 28, 28), {"y": 2}).named_parameters() if not p.requires_grad]
    assert frozen == ["encoder.conv1.weight", "encoder.conv1.bias"]
    assert made.bare() == made
    assert build(Backbone, {"name": "lenet"}).bare() == build(Backbone, {"name": "lenet"})  # type: ignore[type-abstract]
