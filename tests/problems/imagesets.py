"""Small image sets in MNIST's layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return b"\x00\x00\x08" + bytes([array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def write(root: Path, seed: int = 0, name: str = "MNIST") -> Path:
    """A small MNIST: blobs, 60 to train and 30 to test, as torchvision lays them."""
    rng = np.random.default_rng(seed)
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    for file, count in zip(FILES, (60, 60, 30, 30), strict=True):
        images = rng.integers(0, 256, (count, 28, 28)) * (rng.random((count, 28, 28)) < 0.3)
        array = images if "images" in file else rng.integers(0, 10, count)
        (raw / file).write_bytes(idx(array))
    return root
