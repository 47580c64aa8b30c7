"""Random shifts: against padding and slicing."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from moframework.augmentations.crop import Crop
from tests.augmentations.scene import MAPS, batch, generator


@pytest.mark.parametrize(("fill", "mode"), [("zero", "constant"), ("edge", "replicate")])
def test_as_padding_and_slicing(fill: str, mode: str) -> None:
    x, _ = batch(40)
    moved, _ = Crop(padding=2, fill=fill).apply(x, {"digit": torch.arange(40)}, {}, generator())  # type: ignore[arg-type]
    padded = functional.pad(x, (2, 2, 2, 2), mode=mode)
    places = set()
    for image in range(40):
        pieces = {(r, c): padded[image, :, r : r + 8, c : c + 12] for r in range(5) for c in range(5)}
        (place,) = (where for where, piece in pieces.items() if torch.equal(piece, moved[image]))
        places.add(place)
    assert {row for row, _ in places} == {column for _, column in places} == set(range(5))


def test_maps_move_with_their_image() -> None:
    x, targets = batch()
    moved, changed = Crop(padding=3, fill="edge").apply(x, targets, MAPS, generator())
    assert torch.equal(changed["class"], moved[:, 0].long() + 100 * moved[:, 1].long())
    assert torch.equal(changed["depth"], moved[:, :1] + 1)
    assert torch.equal(changed["height"], moved[:, 1:2])


def test_zeros_would_falsify_maps() -> None:
    x, targets = batch()
    with pytest.raises(
        ValueError, match="target 'class' is a map, whose border zeros would falsify: choose fill: edge"
    ):
        Crop().apply(x, targets, MAPS, generator())
