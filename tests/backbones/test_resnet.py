"""ResNet: parameter counts, stems, pooling, and torchvision's weights."""

from __future__ import annotations

import pytest
import torch
from torchvision.models import resnet18, resnet50

from moframework.backbones.resnet import ResNet
from moframework.config.options import OptionError
from moframework.errors import SpecError

UTKFACE = {"age": 1, "gender": 2, "ethnicity": 5}


def test_parameters_are_those_of_the_utkface_experiments() -> None:
    with torch.device("meta"):
        network = ResNet(stem="small", pool=2).build((3, 64, 64), UTKFACE)
        plain = ResNet(depth=50).build((3, 224, 224), {"y": 1000})
        assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in resnet50().parameters())
    assert sum(p.numel() for p in network.parameters()) == 11_185_224


def test_it_is_torchvisions() -> None:
    network = ResNet().build((3, 32, 32), {"y": 1000}).eval()
    theirs = resnet18().eval()
    state = {**network.encoder.state_dict(), "fc.weight": network.heads.to_y.weight, "fc.bias": network.heads.to_y.bias}
    theirs.load_state_dict(state)
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(network(x)["y"], theirs(x))


def test_small_images_arrive_larger_with_the_small_stem() -> None:
    sizes = {}
    for stem in ("image", "small"):
        network = ResNet(stem=stem, pool=2, hidden=(4,)).build((1, 64, 64), UTKFACE).eval()
        network.encoder.layer4.register_forward_hook(
            lambda m, i, y, stem=stem: sizes.update({stem: tuple(y.shape[2:])})
        )
        outputs = network(torch.randn(2, 1, 64, 64))
        assert {key: tuple(value.shape) for key, value in outputs.items()} == {k: (2, n) for k, n in UTKFACE.items()}
    assert sizes == {"image": (2, 2), "small": (8, 8)}


def test_what_it_cannot_do() -> None:
    with pytest.raises(
        SpecError, match=r"backbone resnet needs images \(channels, height, width\), but inputs are \(9,"
    ):
        ResNet().build((9,), {"y": 1})
    with pytest.raises(OptionError, match="no weights 'IMAGENET1K_V3' for resnet18; did you mean 'IMAGENET1K_V1'"):
        ResNet(pretrained="IMAGENET1K_V3")
    with pytest.raises(OptionError, match="`stem: image`"):
        ResNet(pretrained="DEFAULT", stem="small")
