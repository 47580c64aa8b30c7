"""A draw of overlaid images that somebody else has made, as the code of PaMaL and PaLoRA saves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from moframework.errors import DataError
from moframework.io.tensors import load_plain

__all__ = ["FILES", "find_draw", "read_draw"]

FILES = ("training.pt", "test.pt")


def find_draw(folder: Path) -> list[Path]:
    """The two files of a draw, in `folder` or in `processed` inside it, where the authors' code puts them.

    Raises:
        DataError: one is missing.
    """
    places = (folder, folder / "processed", folder / "MultiMNIST" / "processed")
    for place in places:
        if all((place / name).is_file() for name in FILES):
            return [place / name for name in FILES]
    missing = [name for name in FILES if not (folder / name).is_file()]
    raise DataError(
        f"problem.draw: {folder} has no {' and no '.join(missing)}, nor has processed/ or MultiMNIST/processed/ in it. "
        "These are the files that the released code of PaMaL and PaLoRA makes at its first start."
    )


def read_draw(path: Path, size: tuple[int, int], tasks: int) -> tuple[Tensor, Tensor]:
    """Images (n, 1, height, width), float32, and labels (n, tasks), int64 in [0, 10), of one file. Nothing in it is
    executed.

    The file holds a pair of tensors, as `torch.save((images, labels), path)` writes it: images (n, height, width) or
    (n, 1, height, width), from 0 to 1 or, where they are of type uint8, to 255; labels of any type.

    Raises:
        DataError: it is damaged, holds something else, or images or labels do not fit the problem.
    """
    try:
        found = load_plain(path)
    except ValueError as error:
        raise DataError(f"problem.draw: {error}") from error
    if not isinstance(found, (tuple, list)) or len(found) != 2 or not all(isinstance(one, Tensor) for one in found):
        raise DataError(f"problem.draw: {path} holds {_kind(found)}; a pair of tensors is needed, images and labels")
    images, labels = found
    if images.dim() == 3:
        images = images[:, None]
    n, shape = len(labels), tuple(labels.shape)
    if images.shape != (n, 1, *size) or shape != (n, tasks) or n == 0:
        raise DataError(
            f"problem.draw: {path} has images {tuple(found[0].shape)} and labels {shape}; needed are "
            f"(n, {size[0]}, {size[1]}) and (n, {tasks})"
        )
    images = images.float() / (255 if images.dtype == torch.uint8 else 1)
    wrong = (labels != labels.long()) | (labels < 0) | (labels > 9)
    for bad, what in (
        (wrong.any(1), "labels that are no digits"),
        (~images.isfinite().flatten(1).all(1), "nan or inf"),
    ):
        if bad.any():
            raise DataError(f"problem.draw: {path}, sample {int(bad.nonzero()[0])}: {what}")
    return images, labels.long()


def _kind(found: Any) -> str:
    length = f" of {len(found)}" if isinstance(found, (tuple, list, dict)) else ""
    return f"a {type(found).__name__}{length}"
