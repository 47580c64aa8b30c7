"""Overlays: against Pillow and by hand; draws of different indices."""

from __future__ import annotations

import collections
import itertools

import numpy as np
import pytest
import torch
from moframework.problems.overlay import draw_different, overlay
from PIL import Image


def test_the_brighter_pixel_wins() -> None:
    images = torch.tensor([[[0.1, 0.9], [0.5, 0.2]], [[0.3, 0.4], [0.6, 0.7]]])
    result = overlay(images, torch.tensor([[0, 1]]), offsets=((0, 0), (1, 1)), canvas=(4, 3))
    expected = [[0.1, 0.9, 0.0], [0.5, 0.3, 0.4], [0.0, 0.6, 0.7], [0.0, 0.0, 0.0]]
    torch.testing.assert_close(result, torch.tensor([[expected]]))


@pytest.mark.parametrize(("canvas", "size"), [((36, 36), (28, 28)), ((42, 42), (28, 28)), ((30, 34), (31, 17))])
def test_resizing_is_that_of_pillow(canvas: tuple[int, int], size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(5, 28, 28, generator=generator) * (torch.rand(5, 28, 28, generator=generator) < 0.5)
    indices = torch.tensor([[0, 1], [1, 2], [3, 4]])
    offsets = ((0, 0), (canvas[0] - 28, canvas[1] - 28))
    plain = overlay(images, indices, offsets, canvas)
    result = overlay(images, indices, offsets, canvas, size)
    for one, resized in zip(plain[:, 0], result[:, 0], strict=True):
        pillow = np.asarray(Image.fromarray(one.numpy()).resize(size[::-1], Image.Resampling.BICUBIC))
        np.testing.assert_allclose(resized.numpy(), pillow, atol=1e-5)


def test_chunks_change_nothing() -> None:
    images = torch.rand(6, 4, 4)
    indices = torch.from_numpy(draw_different(11, 6, 3, np.random.RandomState(0)))
    offsets = ((0, 0), (1, 2), (2, 1))
    whole = overlay(images, indices, offsets, (6, 6), (5, 5))
    assert torch.equal(overlay(images, indices, offsets, (6, 6), (5, 5), chunk=4), whole)
    assert overlay(images, indices[:0], offsets, (6, 6), (5, 5)).shape == (0, 1, 5, 5)


def test_what_cannot_be_placed_is_refused() -> None:
    images, indices = torch.rand(2, 4, 4), torch.tensor([[0, 1]])
    with pytest.raises(ValueError, match=r"at \(3, 0\) leave the 6x6 canvas"):
        overlay(images, indices, ((0, 0), (3, 0)), (6, 6))
    with pytest.raises(ValueError, match="as many offsets, but there are 1"):
        overlay(images, indices, ((0, 0),), (6, 6))


def test_every_choice_is_equally_likely() -> None:
    drawn = draw_different(60_000, 5, 3, np.random.RandomState(0))
    counts = collections.Counter(map(tuple, drawn.tolist()))
    assert set(counts) == set(itertools.permutations(range(5), 3))
    assert 850 < min(counts.values()) <= max(counts.values()) < 1150  # 1000 each, five standard deviations


def test_draws_are_reproducible_and_different() -> None:
    drawn = draw_different(1000, 1000, 2, np.random.RandomState([7, 1]))
    assert (drawn[:, 0] != drawn[:, 1]).all()
    assert np.array_equal(drawn, draw_different(1000, 1000, 2, np.random.RandomState([7, 1])))
    assert drawn[:2].tolist() == [[852, 454], [513, 527]]  # RandomState's stream is frozen: this holds on every machine
    with pytest.raises(ValueError, match="3 different images cannot be drawn from 2"):
        draw_different(1, 2, 3, np.random.RandomState(0))


def test_bilinear_resizing_is_not_antialiased() -> None:
    """From 6 to 4 pixels, the samples lie at 0.25, 1.75, 3.25 and 4.75: between two pixels each, whatever the scale."""
    row = torch.tensor([0.0, 8.0, 0.0, 4.0, 0.0, 8.0])
    image = row.expand(1, 6, 6).contiguous()
    result = overlay(image, torch.tensor([[0]]), ((0, 0),), (6, 6), (4, 4), resampling="bilinear")
    torch.testing.assert_close(result[0, 0], torch.tensor([2.0, 2.0, 3.0, 6.0]).expand(4, 4))
