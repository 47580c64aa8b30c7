"""Folders of small real image files, for tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image


def write_pictures(folder: Path, names: Iterable[str], size: tuple[int, int] = (20, 16), seed: int = 0) -> None:
    """Smooth pictures of differing colors, height and width `size`, in the format that each name ends in."""
    rng = np.random.default_rng(seed)
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        corners = Image.fromarray(rng.integers(0, 256, (2, 2, 3), dtype=np.uint8))
        corners.resize((size[1], size[0]), Image.Resampling.BILINEAR).save(path, quality=95)
