"""What every augmentation claims: pure, from the generator alone, the same on every device, told what maps show."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from moframework.augmentations import Augmentation, augmented
from moframework.augmentations.crop import Crop
from moframework.augmentations.flip import Flip
from moframework.augmentations.progressive_resizing import ProgressiveResizing
from moframework.augmentations.scale_crop import ScaleCrop
from moframework.config import build, config, entries, option
from tests.augmentations.scene import MAPS, batch, generator

RANDOM = [Flip(), ScaleCrop(), Crop(padding=2, fill="edge")]
ALL = [*RANDOM, ProgressiveResizing(multiple=2)]


def test_all_of_the_registry_are_here() -> None:
    own = {e.load() for e in entries("augmentations") if e.target.startswith("moframework.augmentations.")}
    assert {type(part) for part in ALL} == own
    assert build(tuple[Augmentation, ...], ["flip", {"name": "crop", "padding": 2, "fill": "edge"}]) == (ALL[0], ALL[2])


@pytest.mark.parametrize("part", RANDOM, ids=lambda part: type(part).__name__)
def test_pure_and_from_the_generator_alone(part: Augmentation) -> None:
    x, targets = batch()
    kept = x.clone(), {key: value.clone() for key, value in targets.items()}
    outside = torch.get_rng_state()
    one = part.apply(x, targets, MAPS, generator(1))
    assert torch.equal(outside, torch.get_rng_state())
    torch.rand(3)
    again, other = part.apply(x, targets, MAPS, generator(1)), part.apply(x, targets, MAPS, generator(2))
    assert torch.equal(one[0], again[0])
    assert not torch.equal(one[0], other[0])
    assert torch.equal(x, kept[0])
    for key, value in targets.items():
        assert torch.equal(value, kept[1][key])
        assert torch.equal(one[1][key], again[1][key])
        assert (one[1][key].shape, one[1][key].dtype) == (value.shape, value.dtype)
    assert torch.equal(one[1]["digit"], targets["digit"])
    assert not torch.equal(one[0][0], one[0][1]) or not torch.equal(one[0][0], one[0][2])  # each sample has its own


@pytest.mark.parametrize("part", ALL, ids=lambda part: type(part).__name__)
def test_nothing_is_read_back_from_the_device(part: Augmentation) -> None:
    """Tensors on the meta device have no values: whatever reads one fails there."""
    x, targets = batch()
    x, changed = part.apply(x.to("meta"), {key: value.to("meta") for key, value in targets.items()}, MAPS, generator())
    assert x.device.type == changed["depth"].device.type == "meta"


@config
class Brighter(Augmentation):
    """More light, the further training is."""

    light: float = option(0.0, help="what is added")

    def at(self, progress: float) -> Augmentation:
        return Brighter(light=progress)

    def apply(self, x: Tensor, targets: Any, maps: Any, generator: Any) -> tuple[Tensor, Any]:
        return x + self.light, targets


def test_what_is_applied_may_depend_on_progress() -> None:
    x = torch.zeros(2, 1, 4, 4)
    for progress in (0.0, 0.25, 1.0):
        for inputs in (x, {"image": x}):
            changed, _ = augmented([Brighter(), Flip()], inputs, {}, {}, generator(), progress)
            found = changed["image"] if isinstance(changed, dict) else changed
            assert found.unique().tolist() == [progress]
    part = Flip()
    assert part.at(0.5) is part
    assert float(augmented([Brighter()], x, {}, {}, generator())[0].max()) == 1  # as training ends


def test_one_after_the_other() -> None:
    x, targets = batch()
    source = generator()
    first = Flip().apply(x, targets, MAPS, source)
    second = ScaleCrop().apply(*first, MAPS, source)
    both = augmented([Flip(), ScaleCrop()], x, targets, MAPS, generator())
    assert torch.equal(both[0], second[0])
    assert torch.equal(both[1]["normal"], second[1]["normal"])
    assert augmented([], x, targets, MAPS, generator())[0] is x


@pytest.mark.parametrize("part", ALL, ids=lambda part: type(part).__name__)
def test_a_map_that_was_forgotten_is_refused(part: Augmentation) -> None:
    x, targets = batch()
    maps = {key: kind for key, kind in MAPS.items() if key != "depth"}
    with pytest.raises(ValueError, match=r"target 'depth' .* does not say what they show: put it among"):
        part.apply(x, targets, maps, generator())


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("depth", torch.zeros(6, 1, 4, 6), "should be a map of depth of the images' size (8, 12), but is (6, 1, 4, 6)"),
        ("class", torch.zeros(6, 8, 12), "should be a map of classes, integers, but is torch.float32"),
        ("normal", torch.zeros(6, 2, 8, 12), "should be a map of normals (b, 3, h, w), but is (6, 2, 8, 12)"),
    ],
)
def test_maps_that_are_not_as_told(key: str, value: torch.Tensor, words: str) -> None:
    x, targets = batch()
    with pytest.raises(ValueError, match=re.escape(words)):
        Flip().apply(x, {**targets, key: value}, MAPS, generator())


def test_inputs_that_are_no_images() -> None:
    with pytest.raises(ValueError, match=r"changes images .* but inputs are \(6, 3\)"):
        Flip().apply(torch.zeros(6, 3), {}, {}, generator())


def images(**further: Tensor) -> dict[str, Tensor]:
    return {"left": torch.rand(6, 3, 4, 4), "right": torch.rand(6, 1, 4, 4), "ids": torch.arange(6), **further}


def test_images_among_several_inputs_are_changed_alike_and_nothing_else() -> None:
    x = images()
    given = {"depth": torch.rand(6, 4, 4)}
    changed, targets = augmented([Flip()], x, given, {"depth": "depth"}, torch.Generator().manual_seed(0))
    flipped = [i for i in range(6) if torch.equal(changed["left"][i], x["left"][i].flip(-1))]
    assert 0 < len(flipped) < 6
    for i in range(6):
        for found, before in ((changed["right"], x["right"]), (targets["depth"], given["depth"])):
            assert torch.equal(found[i], before[i].flip(-1) if i in flipped else before[i])
    assert changed["ids"] is x["ids"]


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ({"ids": torch.zeros(2, 5, dtype=torch.int64)}, r"none of the inputs is one: 'ids' \(2, 5\) torch.int64"),
        (images(large=torch.rand(6, 3, 8, 8)), "several sizes"),
    ],
)
def test_inputs_without_an_image_are_refused(x: dict[str, Tensor], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        augmented([Flip()], x, {}, {}, torch.Generator())
