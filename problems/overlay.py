"""Several small images in one: the construction behind MultiMNIST and its relatives, on whole arrays at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Resampling", "draw_different", "overlay"]

Resampling = Literal["bicubic", "bilinear"]


def draw_different(count: int, sources: int, parts: int, generator: np.random.RandomState) -> npt.NDArray[np.int64]:
    """Draw `count` times `parts` different indices out of `sources`; every ordered choice is equally likely.

    Args:
        count: number of draws n, at least 0.
        sources: number of things to choose from, at least `parts`.
        parts: indices in each draw k.
        generator: numpy's `RandomState`, whose stream is the same in every version for ever.

    Returns:
        indices in [0, sources), (n, k); no row holds an index twice.

    Raises:
        ValueError: there are fewer sources than parts.

    >>> draw_different(2, 3, 3, np.random.RandomState(0)).tolist()
    [[0, 1, 2], [1, 2, 0]]
    """
    if sources < parts:
        raise ValueError(f"{parts} different images cannot be drawn from {sources}")
    drawn = np.empty((count, parts), dtype=np.int64)
    for part in range(parts):
        # An index among those still free, then moved past the ones already taken, smallest first.
        index = generator.randint(0, sources - part, size=count)
        for taken in np.sort(drawn[:, :part], axis=1).T:
            index = index + (index >= taken)
        drawn[:, part] = index
    return drawn


def overlay(
    images: Tensor,
    indices: Tensor,
    offsets: Sequence[tuple[int, int]],
    canvas: tuple[int, int],
    size: tuple[int, int] | None = None,
    chunk: int = 4096,
    resampling: Resampling = "bicubic",
) -> Tensor:
    """Place images on a canvas, keep the brightest where they meet, and resize the canvas.

    Bicubic resizing is antialiased and agrees with Pillow's on floating-point images to 1e-5; as there, values may
    leave the range of the input a little near sharp edges. Bilinear resizing is not antialiased, as torchvision's was
    on tensors up to release 0.16.

    Args:
        images: source images (s, h, w), floating point, at least 0.
        indices: which images make up each result, (n, k).
        offsets: row and column of the upper left corner of each of the k images on the canvas.
        canvas: height and width of the canvas; every image must lie inside.
        size: height and width to resize to; None keeps the canvas as it is.
        chunk: results made at a time, which bounds the memory used.
        resampling: how the canvas is resized.

    Returns:
        images (n, 1, *size), in the dtype of the input.

    Raises:
        ValueError: offsets and indices do not match, or an image would leave the canvas.
    """
    height, width = images.shape[1:]
    if len(offsets) != indices.shape[1]:
        raise ValueError(f"{indices.shape[1]} images a canvas need as many offsets, but there are {len(offsets)}")
    for top, left in offsets:
        if top < 0 or left < 0 or top + height > canvas[0] or left + width > canvas[1]:
            raise ValueError(f"images of {height}x{width} at ({top}, {left}) leave the {canvas[0]}x{canvas[1]} canvas")
    result = torch.empty(len(indices), 1, *(size or canvas), dtype=images.dtype, device=images.device)
    for start in range(0, len(indices), chunk):
        chosen = indices[start : start + chunk]
        drawn = images.new_zeros(len(chosen), 1, *canvas)
        for column, (top, left) in zip(chosen.unbind(1), offsets, strict=True):
            area = drawn[:, 0, top : top + height, left : left + width]
            torch.maximum(area, images[column], out=area)
        if size is not None:
            drawn = functional.interpolate(drawn, size, mode=resampling, antialias=resampling == "bicubic")
        result[start : start + chunk] = drawn
    return result
