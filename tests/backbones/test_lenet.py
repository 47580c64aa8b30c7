"""LeNet: parameter counts of the papers, shapes, and images it cannot take."""

from __future__ import annotations

import pytest
import torch

from moframework.backbones.base import Backbone
from moframework.backbones.lenet import LeNet
from moframework.config import build
from moframework.errors import SpecError


@pytest.mark.parametrize(("tasks", "parameters"), [(2, 27_450), (3, 30_510)])
def test_parameters_are_those_of_the_papers(tasks: int, parameters: int) -> None:
    network = LeNet().build((1, 28, 28), {f"task{i}": 10 for i in range(tasks)})
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 20, 20), (3, 32, 24)])
def test_shapes(shape: tuple[int, ...]) -> None:
    network = LeNet(channels=(4, 6), hidden=8).build(shape, {"left": 10, "type": 2})
    outputs = network(torch.randn(5, *shape))
    assert {key: tuple(value.shape) for key, value in outputs.items()} == {"left": (5, 10), "type": (5, 2)}
    assert (outputs["left"] < 0).any()  # logits, not probabilities
    assert (outputs["left"] > 0).any()


def test_every_output_trains_the_shared_layers_and_its_own_head() -> None:
    network = LeNet().build((1, 28, 28), {"left": 10, "right": 10})
    network(torch.randn(2, 1, 28, 28))["left"].sum().backward()
    trained = {name.rsplit(".", 2)[0] for name, p in network.named_parameters() if p.grad is not None}
    assert trained == {"encoder", "heads.to_left"}


def test_images_it_cannot_take() -> None:
    with pytest.raises(SpecError, match=r"needs images \(channels, height, width\), but inputs are \(21,\)"):
        LeNet().build((21,), {"y": 1})
    with pytest.raises(SpecError, match="images of 8x8 are too small"):
        LeNet().build((1, 8, 8), {"y": 1})


def test_by_name() -> None:
    lenet = build(Backbone, {"name": "lenet", "channels": [3, 5]})  # type: ignore[type-abstract]
    assert lenet == LeNet(channels=(3, 5))
