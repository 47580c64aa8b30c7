"""MTAN on SegNet: parameter counts of the released code, and what attention does."""

from __future__ import annotations

import pytest
import torch

from moframework.backbones.segnet_mtan import SegNetMTAN
from moframework.errors import SpecError


@pytest.mark.parametrize(
    ("shape", "outputs", "parameters"),
    [
        ((3, 128, 256), {"segmentation": 7, "depth": 1}, 41_206_984),
        ((3, 288, 384), {"segmentation": 13, "depth": 1, "normals": 3}, 44_229_073),
    ],
    ids=["cityscapes", "nyuv2"],
)
def test_parameters_are_those_of_the_released_code(
    shape: tuple[int, ...], outputs: dict[str, int], parameters: int
) -> None:
    with torch.device("meta"):
        network = SegNetMTAN().build(shape, outputs)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 37, 50)])
def test_outputs_have_the_size_of_the_input(shape: tuple[int, ...]) -> None:
    outputs = SegNetMTAN(width=2).build(shape, {"segmentation": 7, "depth": 1})(torch.randn(2, *shape))
    assert {key: tuple(value.shape) for key, value in outputs.items()} == {
        "segmentation": (2, 7, *shape[1:]),
        "depth": (2, 1, *shape[1:]),
    }


def test_masks_that_let_nothing_through_leave_nothing() -> None:
    network = SegNetMTAN(width=2, stages=2).build((3, 8, 8), {"left": 1, "right": 1}).eval()
    x = torch.randn(2, 3, 8, 8)
    before = network(x)
    with torch.no_grad():
        network.heads.to_left.up[0][4].bias.fill_(-1e9)  # before the sigmoid of the last mask
    after = network(x)
    assert torch.equal(after["right"], before["right"])
    assert torch.equal(after["left"], network.heads.to_left.head(torch.zeros(2, 2, 8, 8)))


def test_every_output_trains_what_is_shared_and_its_own() -> None:
    network = SegNetMTAN(width=2, stages=2).build((3, 8, 8), {"left": 1, "right": 1})
    network(torch.randn(2, 3, 8, 8))["left"].square().sum().backward()
    trained = {name for name, p in network.named_parameters() if p.grad is not None}
    assert trained == {name for name, _ in network.named_parameters() if not name.startswith("heads.to_right")}


def test_images_it_cannot_take() -> None:
    with pytest.raises(SpecError, match="images of 16x40 are too small for backbone segnet_mtan with 5 stages"):
        SegNetMTAN().build((3, 16, 40), {"y": 1})
