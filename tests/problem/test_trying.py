"""Batches that training will have: in every size, and refused where network and tasks do not go with one of them."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from moframework import check
from moframework.augmentations import Augmentation
from moframework.augmentations.flip import Flip
from moframework.augmentations.progressive_resizing import ProgressiveResizing
from moframework.config import config
from moframework.errors import SpecError
from moframework.problem import get_problem
from moframework.problem.declared import ProblemOverrides
from moframework.problem.trying import training_batches
from tests.problem.parts import Pictures

SCENES: dict[str, Any] = {"name": "scenes", "size": (16, 24), "train": 4, "val": 1, "test": 1}


class Ladder(nn.Module):
    """Halves twice and joins what it doubles again with what it had, as U-Net does: sides must be multiples of 4."""

    def __init__(self, size: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.size = size
        self.first, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(8, 9, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.first(x)
        back = nn.functional.interpolate(nn.functional.max_pool2d(x, 4), scale_factor=4)
        if self.size is not None:
            x, back = (nn.functional.interpolate(one, self.size) for one in (x, back))
        found = self.head(torch.cat([x, back], dim=1))
        return {"segmentation": found[:, :5], "depth": found[:, 5:6], "normal": found[:, 6:]}


def ladder(input_shape: tuple[int, ...], outputs: dict[str, int]) -> nn.Module:
    """A network for images of many sizes."""
    return Ladder()


def of_one_size(input_shape: tuple[int, ...], outputs: dict[str, int]) -> nn.Module:
    """A network whose outputs have one size, whatever that of the image."""
    return Ladder((input_shape[1], input_shape[2]))


@config
class Stretched(Augmentation):
    """What no augmentation may do: wider images beside the maps they had."""

    def apply(self, x: Tensor, targets: Any, maps: Any, generator: Any) -> tuple[Tensor, Any]:
        return torch.cat([x, x], dim=-1), targets


def test_every_size_comes_once_with_that_of_the_end_first() -> None:
    problem = get_problem(**SCENES)
    x, targets = problem.data("train")[0]  # type: ignore[index]
    x, targets = x.unsqueeze(0), {key: value.unsqueeze(0) for key, value in targets.items()}
    part = ProgressiveResizing(stages=3, until=0.99)
    found = training_batches([part, Flip(probability=1.0)], x, targets, problem.maps)
    assert [tuple(batch[0].shape[-2:]) for batch in found] == [(16, 24), (16, 16), (8, 16)]
    assert all(batch[1]["depth"].shape[-2:] == batch[0].shape[-2:] for batch in found)
    assert torch.equal(found[0][0], x.flip(-1))
    assert len(training_batches([], x, targets, problem.maps)) == 1


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (
            {"name": "digits", "train": 8, "val": 2, "test": 2},
            r"problem\.augmentation: the network takes images of 20x20, but not those of 16x16 that training has "
            r"before \(ProgressiveResizing\): .*shapes cannot be multiplied.* Leave the augmentation out, let it begin "
            r"with larger images .* or choose a network that takes images of any size",
        ),
        ({**SCENES, "backbone": {"name": "segnet", "stages": 4}}, "takes images of 16x24, but not those of 8x16"),
        (
            {**SCENES, "backbone": {"python": f"{__name__}:of_one_size"}},
            r"takes images of 16x24, but not .* task 'segmentation': the loss cannot be computed",
        ),
    ],
    ids=["LeNet", "pools too often", "outputs of one size"],
)
def test_a_network_for_images_of_one_size_is_refused_before_training(problem: dict[str, Any], words: str) -> None:
    part = "progressive_resizing"
    get_problem(**problem).check()
    with pytest.raises(SpecError, match=words):
        check({"problem": {**problem, "augmentation": [part]}, "solver": "palora"})


def test_all_sizes_are_tried_and_not_the_smallest_alone() -> None:
    problem = {**SCENES, "backbone": {"python": f"{__name__}:ladder"}}
    for multiple in (4, 8):
        part = ProgressiveResizing(initial=0.5, multiple=multiple)
        get_problem(**problem, augmentation=[part]).check()
    part = ProgressiveResizing(initial=0.5, multiple=2)
    with pytest.raises(SpecError, match=r"takes images of 16x24, but not those of 14x20 .* round sides to"):
        get_problem(**problem, augmentation=[part]).check()


def test_images_and_maps_must_change_alike() -> None:
    words = (
        "augmentation 2 (Stretched) must leave the inputs in the shape (2, 1, 4, 6), but it is (2, 1, 4, 12) after. "
        "Only the height and width of images may change, and of all of their maps alike"
    )
    with pytest.raises(SpecError, match=re.escape(words)):
        Pictures().customized(ProblemOverrides(augmentation=(Flip(), Stretched()))).check()
