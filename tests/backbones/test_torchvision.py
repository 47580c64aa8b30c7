"""torchvision's networks as encoders: names, last layers, channels, weights at hand and not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v3_small

from moframework.backbones.torchvision import TorchvisionBackbone
from moframework.config.options import OptionError
from moframework.errors import DataError, SpecError

FILE = "mobilenet_v3_small-047dcff4.pth"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Path]:
    """An empty cache of torch's."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path))
    yield tmp_path / "checkpoints"
    torch.hub.set_dir(before)


def mobilenet(pretrained: str | None = None, channels: int = 3) -> nn.Module:
    made = TorchvisionBackbone(model="mobilenet_v3_small", pretrained=pretrained)
    return made.build((channels, 32, 32), {"a": 3, "b": 1})


@pytest.mark.parametrize(
    ("model", "width"), [("mobilenet_v3_small", 1024), ("squeezenet1_1", 512), ("shufflenet_v2_x0_5", 1024)]
)
def test_the_last_layer_is_replaced_by_heads(model: str, width: int) -> None:
    network = TorchvisionBackbone(model=model, hidden=(4,)).build((2, 32, 32), {"a": 3, "b": 1}).eval()
    outputs = network(torch.randn(2, 2, 32, 32))
    assert {key: tuple(value.shape) for key, value in outputs.items()} == {"a": (2, 3), "b": (2, 1)}
    assert network.encoder(torch.randn(2, 2, 32, 32)).shape == (2, width)


def test_vision_transformers_are_made_for_the_size_of_the_input() -> None:
    with torch.device("meta"):
        network = TorchvisionBackbone(model="vit_b_32").build((1, 64, 64), {"y": 1})
    assert network.encoder.encoder.pos_embedding.shape == (1, 5, 768)
    with pytest.raises(SpecError, match="square images with sides of a multiple of 32, but they are 64x96"):
        TorchvisionBackbone(model="vit_b_32").build((3, 64, 96), {"y": 1})


def test_weights_in_torchs_cache_are_taken(hub: Path) -> None:
    hub.mkdir()
    state = mobilenet_v3_small().state_dict()
    torch.save(state, hub / FILE)
    network = mobilenet("IMAGENET1K_V1")
    assert all(torch.equal(value, state[name]) for name, value in network.encoder.state_dict().items())
    gray = mobilenet("DEFAULT", channels=1).encoder.features[0][0].weight
    torch.testing.assert_close(gray, state["features.0.0.weight"].sum(dim=1, keepdim=True))
    assert TorchvisionBackbone(model="mobilenet_v3_small", pretrained="DEFAULT").bare() == TorchvisionBackbone(
        model="mobilenet_v3_small"
    )


def test_weights_that_cannot_be_had(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(DataError, match=rf"cannot be downloaded \(no route to host\): get https://.*{FILE}.*`weights`"):
        mobilenet("DEFAULT")


def test_names_that_are_wrong() -> None:
    with pytest.raises(OptionError, match="no classification network 'mobilenet_v3'; did you mean 'mobilenet_v"):
        TorchvisionBackbone(model="mobilenet_v3")
    with pytest.raises(OptionError, match="no weights 'V9' for vgg11"):
        TorchvisionBackbone(model="vgg11", pretrained="V9")
    with pytest.raises(SpecError, match="backbone torchvision needs images"):
        TorchvisionBackbone(model="vgg11").build((4,), {"y": 1})
