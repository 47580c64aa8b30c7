"""Flips: everything is mirrored, and normals look the other way."""

from __future__ import annotations

import torch

from moframework.augmentations.flip import Flip
from tests.augmentations.scene import MAPS, batch, generator


def test_a_sure_flip_twice_is_the_identity() -> None:
    x, targets = batch()
    once = Flip(probability=1).apply(x, targets, MAPS, generator())
    assert torch.equal(once[0], x.flip(-1))
    for key in ("class", "height", "depth"):
        assert torch.equal(once[1][key], targets[key].flip(-1))
    assert torch.equal(once[1]["normal"], (targets["normal"] * torch.tensor([-1.0, 1, 1]).view(3, 1, 1)).flip(-1))
    twice = Flip(probability=1).apply(*once, MAPS, generator())
    assert torch.equal(twice[0], x)
    assert all(torch.equal(twice[1][key], targets[key]) for key in targets)


def test_each_image_with_its_own_probability() -> None:
    x, targets = batch(400, 2, 2)
    flipped, changed = Flip(probability=0.25).apply(x, targets, MAPS, generator())
    chosen = flipped[:, 0, 0, 0] != x[:, 0, 0, 0]
    assert 0.17 < float(chosen.float().mean()) < 0.33
    assert torch.equal(changed["normal"][:, 0, 0, 0] < 0, chosen)
    assert torch.equal(flipped[~chosen], x[~chosen])
    assert torch.equal(Flip(probability=0).apply(x, targets, MAPS, generator())[0], x)
