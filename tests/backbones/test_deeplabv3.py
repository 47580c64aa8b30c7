"""DeepLabv3: the same as torchvision's, for several outputs and any encoder."""

from __future__ import annotations

import pytest
import torch
from torchvision.models.segmentation import deeplabv3_resnet50

from moframework.backbones.deeplabv3 import DeepLabV3
from moframework.errors import SpecError


def test_it_is_torchvisions() -> None:
    network = DeepLabV3().build((3, 32, 32), {"y": 5}).eval()
    theirs = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=5).eval()
    theirs.backbone.load_state_dict(network.encoder.state_dict())
    theirs.classifier.load_state_dict(network.heads.to_y.state_dict())
    x = torch.randn(1, 3, 32, 40)
    with torch.no_grad():
        torch.testing.assert_close(network(x)["y"], theirs(x)["out"])


def test_outputs_have_the_size_of_the_input_and_features_an_eighth() -> None:
    network = DeepLabV3(depth=18, width=4).build((1, 48, 64), {"segmentation": 7, "depth": 1}).eval()
    x = torch.randn(2, 1, 48, 64)
    with torch.no_grad():
        assert network.encoder(x).shape == (2, 512, 6, 8)
        outputs = network(x)
    assert {key: tuple(value.shape) for key, value in outputs.items()} == {
        "segmentation": (2, 7, 48, 64),
        "depth": (2, 1, 48, 64),
    }


def test_inputs_it_cannot_take() -> None:
    with pytest.raises(SpecError, match="backbone deeplabv3 needs images"):
        DeepLabV3().build((9,), {"y": 1})
