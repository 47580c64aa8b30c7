"""Zooms: coordinates, depth and classes in closed form."""

from __future__ import annotations

import torch

from moframework.augmentations.scale_crop import ScaleCrop
from tests.augmentations.scene import MAPS, batch, generator


def test_coordinates_are_those_of_a_piece_inside() -> None:
    """The image's own coordinates tell, at each pixel, where it was taken from."""
    x, targets = batch(60)
    zoomed, changed = ScaleCrop().apply(x, targets, MAPS, generator())
    steps = zoomed[:, 0, 0, 6] - zoomed[:, 0, 0, 5]
    scales = 1 / steps
    found = {round(value, 4) for value in scales.tolist()}
    assert found == {1.0, 1.2, 1.5}
    inner = zoomed[:, :2, 1:-1, 1:-1]  # at the border, interpolation meets the edge of the image
    torch.testing.assert_close(inner.diff(dim=-1)[:, 0], steps[:, None, None].expand(-1, 6, 9))
    torch.testing.assert_close(inner.diff(dim=-2)[:, 1], steps[:, None, None].expand(-1, 5, 10))
    assert float(zoomed[:, 0].min()) >= 0.5 - 1e-5
    assert float(zoomed[:, 0].max()) <= 11.5 + 1e-5
    starts = zoomed[:, 0, 0, 1][(scales - 1.5).abs() < 0.01]
    assert len({round(value, 3) for value in starts.tolist()}) > 10  # anywhere, not on a grid
    torch.testing.assert_close(changed["height"], zoomed[:, 1:2])
    torch.testing.assert_close(changed["normal"], targets["normal"])


def test_classes_and_depth_take_the_nearest_pixel_and_depth_comes_nearer() -> None:
    x, targets = batch(60)
    targets["depth"][:, :, ::2] = 0  # unknown
    zoomed, changed = ScaleCrop().apply(x, targets, MAPS, generator())
    scale = 1 / (zoomed[:, 0, 0, 6] - zoomed[:, 0, 0, 5])
    row, column = changed["class"] // 100, changed["class"] % 100
    assert float((zoomed[:, 0] - 0.5 - column).abs().max()) < 0.501
    assert float((zoomed[:, 1] - 0.5 - row).abs().max()) < 0.501
    expected = torch.where(row % 2 == 0, 0.0, column + 1.5) / scale[:, None, None]
    torch.testing.assert_close(changed["depth"][:, 0], expected)
    assert torch.equal(changed["depth"][:, 0] == 0, row % 2 == 0)


def test_a_factor_of_1_changes_nothing() -> None:
    x, targets = batch()
    same, changed = ScaleCrop(scales=(1.0,)).apply(x, targets, MAPS, generator())
    torch.testing.assert_close(same, x)
    assert torch.equal(changed["class"], targets["class"])
    assert torch.equal(changed["depth"], targets["depth"])


def test_negative_classes_stay() -> None:
    x, targets = batch()
    targets["class"][:] = -1
    assert bool((ScaleCrop().apply(x, targets, MAPS, generator())[1]["class"] == -1).all())
