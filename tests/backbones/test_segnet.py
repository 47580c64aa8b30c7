"""SegNet: parameter counts of the papers, outputs at the input's size, and images it cannot take."""

from __future__ import annotations

import pytest
import torch

from moframework.backbones.base import Backbone
from moframework.backbones.segnet import SegNet
from moframework.backbones.segnet_mtan import SegNetMTAN
from moframework.config import build
from moframework.errors import SpecError


@pytest.mark.parametrize(
    ("shape", "outputs", "parameters"),
    [
        ((3, 128, 256), {"segmentation": 7, "depth": 1}, 25_017_672),
        ((3, 288, 384), {"segmentation": 13, "depth": 1, "normals": 3}, 25_055_185),
    ],
    ids=["cityscapes", "nyuv2"],
)
def test_parameters_are_those_of_the_papers(shape: tuple[int, ...], outputs: dict[str, int], parameters: int) -> None:
    with torch.device("meta"):
        network = SegNet().build(shape, outputs)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 45, 70)])
def test_outputs_have_the_size_of_the_input(shape: tuple[int, ...]) -> None:
    network = SegNet(width=2).build(shape, {"segmentation": 7, "depth": 1})
    outputs = network(torch.randn(2, *shape))
    assert {key: tuple(value.shape) for key, value in outputs.items()} == {
        "segmentation": (2, 7, *shape[1:]),
        "depth": (2, 1, *shape[1:]),
    }


@pytest.mark.parametrize("backbone", [SegNet(width=2, stages=2), SegNetMTAN(width=2, stages=2)], ids=["own", "mtan"])
def test_torch_compile_traces_it_whole(backbone: Backbone) -> None:
    """With training.compile; compiling the kernels takes too long here."""
    network = backbone.build((3, 8, 12), {"segmentation": 7, "depth": 1}).eval()
    x = torch.randn(2, 3, 8, 12)
    traced = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(traced(x), network(x))


def test_the_decoder_puts_values_back_where_they_were_taken() -> None:
    """With blocks that do nothing, what is left of an image are the greatest values of its cells, in their places."""
    network = SegNet(width=1, stages=2).build((1, 8, 8), {"y": 1}).encoder
    for block in (*network.down, *network.up):
        block[0], block[1] = torch.nn.Identity(), torch.nn.Identity()
    image = torch.rand(1, 1, 8, 8)
    greatest = image == torch.nn.functional.max_pool2d(image, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert torch.equal(network(image), image * greatest)


def test_every_output_trains_the_shared_layers_and_its_own_head() -> None:
    network = SegNet(width=2, stages=2).build((3, 8, 8), {"left": 2, "right": 2})
    network(torch.randn(2, 3, 8, 8))["left"].square().sum().backward()
    trained = {name for name, p in network.named_parameters() if p.grad is not None}
    assert trained == {name for name, _ in network.named_parameters() if not name.startswith("heads.to_right")}


def test_images_it_cannot_take() -> None:
    with pytest.raises(SpecError, match=r"backbone segnet needs images \(channels, height, width\), but inputs are"):
        SegNet().build((21,), {"y": 1})
    with pytest.raises(
        SpecError, match=r"images of 16x40 are too small for backbone segnet with 5 stages.*at least 32"
    ):
        SegNet().build((3, 16, 40), {"y": 1})


def test_by_name() -> None:
    assert build(Backbone, {"name": "segnet", "width": 8}) == SegNet(width=8)  # type: ignore[type-abstract]
